"""Rows that read as several examples: they stay together, share texts where they are the same, and
cost others nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl import EmomtlError, Example, Files, SingleLabel, Split, Task, Taxonomy
from emomtl.contracts.task import MOST_EXAMPLES
from emomtl.data.bound_task import BoundTask, ReadOptions
from emomtl.data.corpus import TaskData, keys_of
from emomtl.data.locate import locate
from emomtl.data.located import FILE_STRIDE
from emomtl.data.summary import summarise
from emomtl.data.tasks import read_tasks
from emomtl.manifest import TaskTable

LABELS = Taxonomy(["joy", "anger"])


def one(row: Mapping[str, Any]) -> Example:
    return Example(row["text"], row["label"])


def pairs(row: Mapping[str, Any]) -> list[Example]:
    """As many pairs as the row's number says: none, one, two, three, none, ..."""
    return [Example(row["text"], row["label"], f"meaning {k}") for k in range(row["n"] % 4)]


def task(name: str, read: Any, **more: Any) -> Task:
    return Task(name, Files("*"), read, LABELS, head=SingleLabel(), **more)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """40 rows in one file, without splits."""
    path = tmp_path / "rows.jsonl"
    made = [{"text": f"text {n}", "label": "joy" if n % 3 else "anger", "n": n} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return path


def read(path: Path, *tasks: Task, **more: Any) -> TaskData:
    inputs = [
        BoundTask(
            t.name, t, t.head, TaskTable(**more), locate(t.layouts, str(path), path.parent, t.name)
        )
        for t in tasks
    ]
    return read_tasks(inputs, ReadOptions(on_bad_row=more.get("on_bad_row", "stop")))


def texts_of(data: TaskData, name: str, split: str) -> list[tuple[str, str]]:
    corpus = data.corpus(name)
    part = corpus.splits[split]
    return [
        (part.texts[i], part.pairs[i] if part.pairs else "") for i in corpus.rows[name, split].index
    ]


HALVES = Split(validation=0.3, test=0.2)


def test_examples_of_a_row_stay_together_in_order(rows: Path) -> None:
    data = read(rows, task("one", one, split=HALVES), task("pairs", pairs, split=HALVES))
    assert [corpus.tasks for corpus in data.corpora] == [("one",), ("pairs",)]
    for split in ("train", "validation", "test"):
        wanted = [
            (text, f"meaning {k}")
            for text, _ in texts_of(data, "one", split)
            for k in range(int(text.split()[1]) % 4)
        ]
        assert texts_of(data, "pairs", split) == wanted
    assert sum(len(data.rows("pairs", split)) for split in ("train", "validation", "test")) == 60


def test_a_limit_counts_rows_and_not_examples(rows: Path) -> None:
    every = task(
        "every",
        lambda row: [Example(row["text"], row["label"], side) for side in ("a", "b")],
        split=HALVES,
    )
    data = read(rows, task("one", one, split=HALVES), every, limit=7, eval_limit=3)
    assert len(data.rows("one", "train")) == 7
    for split in ("train", "validation"):
        alone = [text for text, _ in texts_of(data, "one", split)]
        assert texts_of(data, "every", split) == [
            (text, side) for text in alone for side in ("a", "b")
        ]


def test_tasks_share_the_examples_that_are_the_same(rows: Path) -> None:
    def first(row: Mapping[str, Any]) -> list[Example]:
        return pairs(row)[:1]

    data = read(
        rows,
        task("first", first, split=HALVES),
        task("pairs", pairs, split=HALVES),
        task("again", pairs, split=HALVES),
    )
    assert [corpus.tasks for corpus in data.corpora] == [("first", "pairs", "again")]
    assert texts_of(data, "first", "train") == [
        row for row in texts_of(data, "pairs", "train") if row[1] == "meaning 0"
    ]
    assert texts_of(data, "again", "train") == texts_of(data, "pairs", "train")
    assert (
        data.rows("again", "train").targets.tolist() == data.rows("pairs", "train").targets.tolist()
    )


def test_a_row_with_several_unfit_examples_is_one_problem(rows: Path) -> None:
    def wrong(row: Mapping[str, Any]) -> list[Example]:
        return [
            Example(row["text"], "joyy" if row["n"] == 6 else "joy", side) for side in ("a", "b")
        ]

    with pytest.raises(EmomtlError) as caught:
        read(rows, task("wrong", wrong))
    assert [(problem.line, problem.found) for problem in caught.value.problems] == [
        (7, "unknown label 'joyy'")
    ]


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"text": "a"}, "`read` gave dict"),
        ("text", "`read` gave str"),
        ([Example("a", "joy"), None], "`read` gave list with NoneType"),
        (["a"], "`read` gave list with str"),
        ([Example("a", "joy")] * (MOST_EXAMPLES + 1), "`read` gave 1,025 examples"),
        ([Example("a", "joy", 3)], "the text is int, not a string"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_example_is_a_bad_row(rows: Path, given_: Any, said: str) -> None:
    with pytest.raises(EmomtlError) as caught:
        read(rows, task("odd", lambda row: given_ if row["n"] == 2 else one(row)))
    assert [(problem.line, problem.found) for problem in caught.value.problems] == [(3, said)]


def test_a_row_may_read_as_no_or_one_example(rows: Path) -> None:
    listed = read(rows, task("listed", lambda row: [one(row)] if row["n"] % 2 else []))
    plain = read(rows, task("plain", lambda row: one(row) if row["n"] % 2 else None))
    assert texts_of(listed, "listed", "train") == texts_of(plain, "plain", "train")
    assert np.array_equal(
        listed.corpora[0].splits["train"].keys, plain.corpora[0].splits["train"].keys
    )


def test_a_summary_says_that_it_counts_examples(rows: Path) -> None:
    sizes, *_ = summarise(task("pairs", pairs), str(rows), rows.parent)["tables"]
    assert sizes["columns"][:2] == ["split", "examples"]
    assert sizes["rows"][0][:2] == ["train", 60]
    assert summarise(task("one", one), str(rows), rows.parent)["tables"][0]["columns"][1] == "rows"


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(1, 10**9), st.integers(1, 9), max_size=20), st.integers(0, 2000))
def test_keys_rise_and_tell_row_and_place(counts: dict[int, int], file: int) -> None:
    numbers = [
        file * FILE_STRIDE + number for number in sorted(counts) for _ in range(counts[number])
    ]
    keys = keys_of(numbers)
    assert np.all(np.diff(keys) > 0)
    assert (keys // MOST_EXAMPLES).tolist() == numbers
    assert (keys % MOST_EXAMPLES).tolist() == [
        k for number in sorted(counts) for k in range(counts[number])
    ]
