"""Suspected label noise: planted wrong labels are found, the rule is cleanlab's, and copies of a
text never judge each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl import MultiLabel, Regression
from emomtl.analyses.audit.findings import Report
from emomtl.analyses.audit.noise import FOLDS, contradicted, noise

CUES = {
    "joy": "happy love wonderful laughed best smiled",
    "anger": "angry hate awful terrible broke shouted",
    "fear": "afraid scared worried dark exam night",
}
FILLER = "the a i my we you it was today and so very really then home work friend day"


def rows(n: int, labels: tuple[str, ...], seed: int) -> list[tuple[str, str]]:
    """n texts whose words give their label away."""
    draw = np.random.default_rng(seed)
    found = []
    for number in range(n):
        label = labels[int(draw.integers(len(labels)))]
        words = [*draw.choice(CUES[label].split(), 3), *draw.choice(FILLER.split(), 5)]
        found.append((" ".join(map(str, draw.permutation(words))) + f" {number}", label))
    return found


def planted(
    labels: tuple[str, ...], n: int = 400, wrong: int = 20
) -> tuple[list[tuple[str, str]], set[int]]:
    """n rows of which `wrong` carry another label; row numbers from 1."""
    found = rows(n, labels, seed=len(labels))
    chosen = np.random.default_rng(9).choice(n, wrong, replace=False)
    for row in chosen.tolist():
        text, label = found[row]
        found[row] = (text, labels[(labels.index(label) + 1) % len(labels)])
    return found, {row + 1 for row in chosen.tolist()}


def places(report: Report) -> tuple[int, list[int]]:
    """The number of suspects, and the row numbers of the examples."""
    (finding,) = report.findings
    return finding.count, [
        int(example.places[0].rpartition(" ")[2].replace(",", "")) for example in finding.examples
    ]


@pytest.mark.parametrize("labels", [("joy", "anger"), ("joy", "anger", "fear")])
def test_planted_wrong_labels_are_suspected_and_hardly_any_right_one(
    plant: Any, labels: tuple[str, ...]
) -> None:
    train, wrong = planted(labels)
    report = Report("test")
    noise(plant({"one": {"train": train}}, labels=labels), 1000, report)
    count, examples = places(report)
    assert 0.75 * len(wrong) <= count <= len(wrong)
    assert set(examples) <= wrong
    assert "more probable" in report.findings[0].examples[0].about
    table = report.tables[0].rows[0]
    assert table[:3] == ("one", 400, 400)
    assert table[3] == pytest.approx(1 - len(wrong) / 400, abs=0.03)
    assert sum(row[3] for row in report.tables[1].rows) == count


def test_with_several_labels_a_missing_and_a_wrong_one_are_suspected(plant: Any) -> None:
    labels = ("joy", "anger", "fear")
    train: list[tuple[str, Any]] = [(text, [label]) for text, label in rows(1200, labels, seed=4)]
    missing = [row for row, (_, given) in enumerate(train) if given == ["joy"]][:8]
    extra = [row for row, (_, given) in enumerate(train) if given == ["fear"]][:8]
    for row in missing:
        train[row] = (train[row][0], [])
    for row in extra:
        train[row] = (train[row][0], ["fear", "anger"])
    report = Report("test")
    noise(plant({"one": {"train": train}}, labels=labels, head=MultiLabel()), 2000, report)
    count, examples = places(report)
    assert 8 <= count <= 16
    assert {number - 1 for number in examples} <= {*missing, *extra}
    confusions = {(row[1], row[2]) for row in report.tables[1].rows}
    assert {("not joy", "joy"), ("anger", "not anger")} <= confusions


@pytest.mark.parametrize(("random_labels", "severity"), [(True, "note"), (False, "warning")])
def test_what_a_model_suspects_that_agrees_with_few_rows_is_a_note(
    plant: Any, random_labels: bool, severity: str
) -> None:
    labels = ("joy", "anger", "fear")
    train, _ = planted(labels)
    if random_labels:
        draw = np.random.default_rng(3)
        train = [(text, labels[int(draw.integers(3))]) for text, _ in train]
    report = Report("test")
    noise(plant({"one": {"train": train}}, labels=labels), 2000, report)
    (finding,) = report.findings
    assert (report.tables[0].rows[0][3] < 0.5) == random_labels
    assert finding.severity == severity
    assert ("may be its own mistakes" in finding.text) == random_labels


def test_above_the_sample_a_stable_part_of_the_rows_is_asked_and_the_finding_says_so(
    plant: Any,
) -> None:
    train, _ = planted(("joy", "anger"))
    groups = plant({"one": {"train": train}})
    found = []
    for _ in range(2):
        report = Report("test")
        noise(groups, 200, report)
        found.append(report)
    assert found[0].as_json() == found[1].as_json()
    assert found[0].tables[0].rows[0][1:3] == (200, 400)
    assert "of 200 training rows (a sample of 400) are suspected" in found[0].findings[0].text


def test_copies_of_a_text_stay_in_one_fold_so_that_a_wrong_label_is_seen_among_its_copies(
    plant: Any,
) -> None:
    train = rows(300, ("joy", "anger"), seed=1)
    train += [("happy love wonderful smiled", "anger")] * 4
    groups = plant({"one": {"train": train}})
    keys = groups[0].rows["train"].keys
    assert len(set((keys[-4:] % FOLDS).tolist())) == 1
    report = Report("test")
    noise(groups, 1000, report)
    assert set(places(report)[1]) >= {301, 302, 303, 304}


def test_numbers_and_tasks_with_too_few_rows_are_not_asked(plant: Any) -> None:
    report = Report("test")
    noise(plant({"few": {"train": rows(12, ("joy", "anger"), seed=1)}}), 100, report)
    assert report.findings == []
    assert report.tables[0].rows == ()
    noise(
        plant({"numbers": {"train": [("a b", 1.0), ("b c", 2.0)]}}, labels=None, head=Regression()),
        100,
        report,
    )
    assert report.findings == []


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(0, 10_000))
def test_the_rule_finds_what_cleanlab_finds_where_the_most_probable_label_is_sure(
    labels: int, seed: int
) -> None:
    filter_ = pytest.importorskip("cleanlab.filter", reason="the extra `dev` brings cleanlab")
    draw = np.random.default_rng(seed)
    given = np.concatenate([np.arange(labels), draw.integers(labels, size=60)])
    p = draw.dirichlet(np.full(labels, 0.6), size=len(given))
    mine, likely = contradicted(given, p)
    theirs = filter_.find_label_issues(
        given, p, filter_by="confident_learning", min_examples_per_class=0, n_jobs=1
    )
    thresholds = np.array([p[given == label, label].mean() for label in range(labels)])
    sure = p.max(axis=1) >= thresholds[likely]
    assert np.array_equal(mine[sure], theirs[sure])
    assert not mine[~sure].any()
