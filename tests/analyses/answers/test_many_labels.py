"""A page of thousands of labels is bounded: what takes a matrix, or a search for each label, is cut
short and says so.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from emomtl import MultiLabel, SingleLabel, Taxonomy
from emomtl.analyses.answers import parts
from emomtl.analyses.answers.confusion import LONGEST, confusion, confusion_table
from emomtl.analyses.answers.kept import MANY, Kept
from emomtl.contracts.analysis import Table
from emomtl.metrics.predictions import TaskPredictions
from emomtl.report.html_page.page import MOST_ROWS, _shown


def kept_of(labels: int, rows: int, several: bool) -> Kept:
    draw, taxonomy = (
        np.random.default_rng(1),
        Taxonomy([f"label{place:04d}" for place in range(labels)]),
    )
    head: Any = MultiLabel() if several else SingleLabel()
    probabilities = draw.random((rows, labels)) * 0.502
    targets = draw.integers(0, labels, rows)
    probabilities[np.arange(rows), np.where(draw.random(rows) < 0.5, targets, 0)] += 0.4
    if several:
        both = np.zeros((rows, labels), np.float32)
        both[np.arange(rows), targets] = both[:, 3] = 1
        targets = both
    answers = TaskPredictions(targets, probabilities)
    return Kept(1, "run", "task", "validation", head, taxonomy, answers, answers)


@pytest.mark.parametrize("several", [True, False])
def test_the_parts_of_two_thousand_labels_take_seconds_and_say_what_they_leave_out(
    several: bool,
) -> None:
    kept, began = kept_of(2000, 300, several), time.monotonic()
    made = [
        shown
        for make in (parts._labels, parts._confusion, parts._together, parts._calibration)
        for shown in make(kept)
    ]
    assert time.monotonic() - began < 10
    notes = " ".join(note for tables, _ in made for table in tables for note in table.notes)
    assert f"intervals are left out of more than {MANY} labels" in notes
    assert "as a threshold is sought for each: `emomtl analyse calibration RUN` does it" in notes
    assert (f"only among the {MANY} labels with the most rows" in notes) == several
    assert not [picture for _, pictures in made for picture in pictures]


def test_pairs_of_single_labels_without_a_matrix_are_those_of_the_matrix() -> None:
    kept = kept_of(100, 400, several=False)
    level = kept.levels()[0]
    counts = confusion(level).counts.copy()
    np.fill_diagonal(counts, 0)
    table = confusion_table(kept, level)
    assert len(table.rows) == LONGEST
    for true, wrong, texts, support, share in table.rows:
        i, j = level.names.index(str(true)), level.names.index(str(wrong))
        assert texts == counts[i, j]
        assert support == (kept.answers.targets == i).sum()
        assert share == pytest.approx(counts[i, j] / support)
    assert [row[2] for row in table.rows] == sorted(counts[counts > 0].tolist(), reverse=True)[
        :LONGEST
    ]


def test_the_labels_with_the_most_rows_are_kept_in_their_order() -> None:
    level = kept_of(600, 50, several=True).levels()[0]
    most = level.most(2)
    assert len(most.names) == 2
    assert "label0003" in most.names
    assert list(most.names) == sorted(most.names)


def test_a_table_of_a_page_shows_its_first_rows_and_says_how_many_more_there_are() -> None:
    table = Table(
        "Labels", ("label", "f1"), tuple((f"l{n}", n / 5000) for n in range(5000)), ("a note",)
    )
    shown = _shown(table)
    assert len(shown.rows) == MOST_ROWS
    assert shown.notes == ("4,000 more rows are left out of this page alone", "a note")
    assert _shown(Table("Few", ("label",), (("l",),))).notes == ()
