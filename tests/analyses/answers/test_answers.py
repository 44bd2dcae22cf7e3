"""What is read from kept answers: intervals that hold the truth, confusions that count, pictures
that load nothing.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score

from emomtl import Grouping, MultiLabel, Regression, SingleLabel, Taxonomy
from emomtl.analyses.answers.confusion import (
    NOTHING,
    confusion,
    confusion_table,
    together,
    together_table,
)
from emomtl.analyses.answers.kept import Kept
from emomtl.analyses.answers.labels import RARE, f1_by_label, label_table
from emomtl.analyses.answers.pictures import (
    confusion_picture,
    numbers_picture,
    threshold_picture,
    together_picture,
)
from emomtl.analyses.answers.regressions import numbers_table
from emomtl.metrics.predictions import TaskPredictions
from emomtl.report.drawing import as_svg
from emomtl.report.html_page import inline
from emomtl.run import Run

FORMULA = r"<i>$\frac{1}$</i>"
LABELS = Taxonomy(
    ["joy", "anger", FORMULA, "fear"],
    [Grouping("side", {"good": ("joy", FORMULA), "bad": ("anger", "fear")})],
)


def _kept(head: Any, targets: Any, probabilities: Any, taxonomy: Taxonomy | None = LABELS) -> Kept:
    answers = TaskPredictions(np.asarray(targets), np.asarray(probabilities, float))
    return Kept(1, "run", "mood", "validation", head, taxonomy, answers, answers)


def _several(rows: int = 400, seed: int = 0) -> Kept:
    draw = np.random.default_rng(seed)
    targets = (draw.random((rows, 4)) < (0.4, 0.3, 0.2, 0.02)).astype(np.float32)
    return _kept(MultiLabel(), targets, 0.3 * targets + 0.7 * draw.random((rows, 4)))


def _single(rows: int = 300) -> Kept:
    draw = np.random.default_rng(1)
    targets = draw.integers(0, 4, rows)
    return _kept(SingleLabel(), targets, np.eye(4)[targets] + draw.random((rows, 4)) * 1.5)


def test_labels_of_a_group_stand_beside_each_other_and_keep_their_answers() -> None:
    kept = _several()
    fine, coarse = kept.levels()
    assert fine.names == ("joy", FORMULA, "anger", "fear")
    assert fine.groups == ("good", "good", "bad", "bad")
    assert coarse.names == ("good", "bad")
    figures = {one.name: one for one in f1_by_label(fine)}
    for place, name in enumerate(LABELS.names):
        decided = kept.answers.probabilities[:, place] >= 0.5
        assert figures[name].f1 == pytest.approx(f1_score(kept.answers.targets[:, place], decided))
    assert figures["macro"].f1 == pytest.approx(
        MultiLabel().metrics(kept.answers.targets, kept.answers.probabilities)["macro_f1"]
    )


def test_figures_of_single_labels_are_those_of_the_head() -> None:
    kept = _single()
    figures = {one.name: one for one in f1_by_label(kept.levels()[0])}
    for row in SingleLabel().table(kept.answers.targets, kept.answers.probabilities, LABELS.names):
        one = figures[str(row["label"])]
        assert (one.support, one.predicted, one.f1) == (
            row["support"],
            row["predicted"],
            pytest.approx(row["f1"]),
        )


def test_an_interval_holds_its_figure_narrows_with_rows_and_is_the_same_again() -> None:
    few, many = (f1_by_label(_several(rows).levels()[0])[0] for rows in (200, 3200))
    for one in (few, many):
        assert one.low is not None
        assert one.high is not None
        assert one.f1 is not None
        assert one.low < one.f1 < one.high
    assert few.high - few.low > 2 * (many.high - many.low)  # type: ignore[operator]  # asserted above
    assert f1_by_label(_several(200).levels()[0])[0] == few


def test_a_rare_label_is_pointed_out_and_a_label_without_rows_has_no_figure() -> None:
    kept = _several()
    table = label_table(kept, kept.levels()[0], f1_by_label(kept.levels()[0]))
    (warning,) = [note for note in table.notes if note.startswith("warning: ")]
    assert f"fewer than {RARE} rows of validation have fear (" in warning
    assert "anger" not in warning
    empty = _kept(MultiLabel(), np.zeros((5, 4)), np.zeros((5, 4)))
    assert {(one.f1, one.low) for one in f1_by_label(empty.levels()[0])[:4]} == {(None, None)}


def test_the_matrix_of_single_labels_is_that_of_scikit_learn_at_every_level() -> None:
    kept = _single()
    for level in kept.levels():
        found = confusion(level)
        decided = level.answers.probabilities.argmax(axis=1)
        assert np.array_equal(
            found.counts,
            confusion_matrix(level.answers.targets, decided, labels=range(len(level.names))),
        )
        table = confusion_table(kept, level)
        assert [list(row[1:]) for row in table.rows] == found.counts.tolist()


def test_of_several_labels_a_miss_is_counted_with_what_was_answered_wrongly() -> None:
    targets = [[1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, np.nan], [0, 0, 1, 0]]
    said = [[0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    kept = _kept(MultiLabel(), np.array(targets, np.float32), said)
    found = confusion(kept.levels()[0])
    place = {name: i for i, name in enumerate(found.answered)}
    joy = found.counts[place["joy"]]
    assert found.support[place["joy"]] == 4
    assert {name: int(joy[i]) for name, i in place.items()} == {
        "joy": 0,
        FORMULA: 0,
        "anger": 1,
        "fear": 0,
        NOTHING: 3,
    }
    assert found.counts[place["anger"], place["anger"]] == 1
    assert confusion_table(kept, kept.levels()[0]).rows == (("joy", "anger", 1, 4, 0.25),)
    assert np.isnan(found.shares[place["fear"]]).all()


def test_labels_together_are_jaccard_indices_of_targets_and_of_answers() -> None:
    kept = _several()
    level = kept.levels()[0]
    found = together(level)
    assert found is not None
    truth, decided, _ = level.flags()
    assert found.targets[0, 2] == pytest.approx(jaccard_score(truth[:, 0], truth[:, 2]))
    assert found.answers[0, 2] == pytest.approx(jaccard_score(decided[:, 0], decided[:, 2]))
    row = next(
        row for row in together_table(kept, level, found).rows if row[:2] == ("joy", "anger")
    )
    assert row[5] == pytest.approx(found.answers[0, 2] - found.targets[0, 2])
    assert together(_single().levels()[0]) is None


def test_numbers_have_errors_with_intervals_and_a_direction() -> None:
    draw = np.random.default_rng(2)
    targets = draw.normal(3, 1, (500, 2)).astype(np.float32)
    targets[:5, 1] = np.nan
    kept = _kept(
        Regression(dimensions=("valence", "arousal")), targets, np.nan_to_num(targets) + 0.5, None
    )
    rows = {
        row[0]: dict(zip(numbers_table(kept).columns, row, strict=True))
        for row in numbers_table(kept).rows
    }
    assert rows["arousal"]["rows"] == 495
    assert rows["valence"]["mean residual"] == pytest.approx(0.5, abs=1e-6)
    assert (
        rows["valence"]["rmse 95% low"]
        <= rows["valence"]["rmse"]
        <= rows["valence"]["rmse 95% high"]
    )  # type: ignore[operator]


def test_pictures_are_lines_that_a_page_may_show_with_names_as_they_are() -> None:
    kept = _several()
    level = kept.levels()[0]
    pair = together(level)
    assert pair is not None
    numbers = _kept(
        Regression(), np.random.default_rng(3).normal(size=(600, 1)), np.zeros((600, 1)) + 0.1, None
    )
    for figure in (
        confusion_picture(kept, level, confusion(level)),
        together_picture(kept, level, pair),
        threshold_picture(kept, level),
        numbers_picture(numbers),
    ):
        svg = as_svg(figure)
        assert "<image" not in svg
        assert "<i>" not in inline(svg, "x")
    told = re.findall(
        r"<title>([^<]*)</title>",
        inline(as_svg(confusion_picture(kept, level, confusion(level))), "x"),
    )
    assert any(one.startswith("joy: found, ") for one in told)


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    shutil.copytree(trained.folder, tmp_path / "run", symlinks=True)
    return Run.open(tmp_path / "run")


def test_a_report_shows_the_answers_that_training_kept_on_every_way_out(
    run: Run, cli: Any, tmp_path: Path
) -> None:
    out = {kind: tmp_path / f"out.{kind}" for kind in ("html", "markdown", "csv", "latex")}
    options = [one for kind, path in out.items() for one in (f"--{kind}", path)]
    said = cli("report", run.folder, *options, "--figures", tmp_path / "figures", "--json")
    assert said.code == 0, said.err
    titles = {table["title"].partition(":")[0] for table in json.loads(said.out)["tables"]}
    assert {"F1 by label", "Confusion", "Labels that occur together"} <= titles
    page = out["html"].read_text(encoding="utf-8")
    for words in (
        "F1 by label: mood",
        "Confusion: mood",
        "Confusion: topics",
        "F1 over the threshold: topics",
        "Reliability: mood",
    ):
        assert words in page
    for path in out.values():
        assert "F1 by label" in path.read_text(encoding="utf-8")
    stems = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert any(stem.endswith("mood-confusion-validation") for stem in stems)
    for ending in ("svg", "pdf"):
        assert {path.stem for path in (tmp_path / "figures").glob(f"*.{ending}")} == stems


def test_a_run_whose_answers_were_not_kept_or_are_damaged_says_so(
    run: Run, cli: Any, tmp_path: Path
) -> None:
    (path,) = (run.folder / "answers").iterdir()
    path.write_bytes(b"no")
    said = cli("report", run.folder, "--markdown", tmp_path / "out.md")
    assert said.code == 0, said.err
    assert "its answers cannot be shown" in (tmp_path / "out.md").read_text(encoding="utf-8")
    entries = [
        {key: value for key, value in entry.items() if key != "answers"} for entry in run.scores()
    ]
    (run.folder / "scores.json").write_text(json.dumps({"format": 1, "evaluations": entries}))
    assert cli("report", run.folder, "--markdown", tmp_path / "out.md").code == 0
    assert "keeps what is shown here" in (tmp_path / "out.md").read_text(encoding="utf-8")
