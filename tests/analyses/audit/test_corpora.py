"""What is known to be wrong with the real corpora is found, in just the known numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emomtl import Task
from emomtl.analyses.audit.conflicts import conflicts
from emomtl.analyses.audit.duplicates import Index, duplicates
from emomtl.analyses.audit.findings import Report
from emomtl.analyses.audit.rows import groups
from emomtl.data.bound_task import BoundTask
from emomtl.data.locate import locate
from emomtl.data.tasks import read_tasks
from emomtl.plugins.discovery import Plugins

Counts = dict[tuple[str, str], tuple[int, int]]


def looked_at(corpora: Path, **sources: str) -> tuple[Counts, list[list[Any]], Report]:
    """Rows (all, identical) that stand in two splits by (rows of, stand in), conflicts by task, and
    the report.
    """
    inputs = []
    for name, source in sources.items():
        offered = Plugins.discover().offer("task", name.replace("_", "-")).value
        task: Task = offered().task() if isinstance(offered, type) else offered
        inputs.append(
            BoundTask(
                task.name, task, task.head, located=locate(task.layouts, source, corpora, task.name)
            )
        )
    found = groups(read_tasks(inputs), {one.name: one.head for one in inputs})
    report = Report("corpora")
    duplicates(Index(found), report)
    conflicts(found, report)
    return (
        {(row[0], row[1]): (row[2], row[3]) for row in report.tables[1].rows},
        [*map(list, report.tables[2].rows)],
        report,
    )


def test_43_validation_and_37_test_texts_of_goemotions_stand_in_train_and_58_have_different_labels(
    corpora: Path,
) -> None:
    shared, differing, report = looked_at(corpora, goemotions="goemotions")
    assert shared["goemotions validation", "goemotions train"] == (49, 43)
    assert shared["goemotions test", "goemotions train"] == (42, 37)
    assert differing == [["goemotions", 81, 74, 58]]
    assert [one.count for one in report.findings if one.severity == "error"] == [42]


def test_371_phrases_of_sst2_are_repeated_five_with_both_labels_and_two_test_texts_stand_in_train(
    corpora: Path,
) -> None:
    shared, differing, report = looked_at(corpora, sst2="sst2")
    assert shared == {("sst2 test", "sst2 train"): (2, 2)}
    assert differing == [["sst2", 5, 5, 5]]
    assert report.tables[0].rows[0] == ("sst2", "train", 67_349, 66_978, 371, 371)


def test_tasks_share_texts_across_corpora(corpora: Path) -> None:
    shared, _, _ = looked_at(
        corpora, goemotions="goemotions", emobank="emobank/emobank.csv", sst2="sst2"
    )
    assert shared["emobank test", "emobank train"] == (18, 18)
    assert shared["emobank test", "goemotions train"] == (3, 3)
    assert shared["goemotions test", "sst2 train"] == (2, 0)


def test_no_post_of_the_suicide_sample_stands_twice_and_none_is_shown(corpora: Path) -> None:
    shared, differing, report = looked_at(corpora, suicide_depression="suicide")
    assert shared == {}
    assert differing == [["suicide-depression", 0, 0, 0]]
    assert all(example.text is None for one in report.findings for example in one.examples)


@pytest.mark.long
def test_3_050_texts_of_sentiment140_have_both_labels(corpora: Path) -> None:
    _, differing, _ = looked_at(corpora, sentiment140="sentiment140")
    assert differing == [["sentiment140", 3_326, 3_050, 3_020]]
