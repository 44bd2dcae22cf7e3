"""Training rows whose text is scored: found by normalised text in any task of the run, and left out
where that is wanted.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl import EmomtlError, Example, Files, SingleLabel, Split, Task, Taxonomy
from emomtl.contracts.sources import normalise
from emomtl.data.bound_task import BoundTask, ReadOptions
from emomtl.data.corpus import TaskData
from emomtl.data.leaks import exact_keys, text_keys
from emomtl.data.locate import locate
from emomtl.data.tasks import read_tasks
from emomtl.manifest import TaskTable

LABELS = Taxonomy(["joy", "anger"])


def read(row: Mapping[str, Any]) -> Example:
    return Example(row["text"], row.get("label", "joy"), row.get("pair"))


def corpus(folder: Path, name: str, **splits: list[Any]) -> None:
    """A folder of JSONL files; a row is its text, or a text and its pair."""
    (folder / name).mkdir()
    for split, texts in splits.items():
        rows = [
            (
                {"text": text}
                if isinstance(text, str)
                else dict(zip(("text", "pair"), text, strict=True))
            )
            for text in texts
        ]
        (folder / name / f"{split}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )


def inputs(folder: Path, *names: str, **more: Any) -> list[BoundTask]:
    split = more.pop("split", None)
    tasks = [
        Task(name, Files("*"), read, LABELS, head=SingleLabel(), split=split) for name in names
    ]
    return [
        BoundTask(
            one.name,
            one,
            one.head,
            TaskTable(**more),
            locate(one.layouts, one.name, folder, one.name),
        )
        for one in tasks
    ]


def texts(data: TaskData, task: str, split: str = "train") -> list[str]:
    rows, found = data.corpus(task).rows[task, split], data.corpus(task).splits[split].texts
    return [found[i] for i in rows.index]


@settings(deadline=None)
@given(st.text(max_size=40))
def test_texts_are_normalised_by_nfkc_lower_case_and_single_spaces(text: str) -> None:
    assert (
        normalise(text) == re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip().lower()
    )


def test_every_unicode_space_separates_words() -> None:
    spaces = "".join(char for char in map(chr, range(0x110000)) if re.match(r"\s", char))
    assert normalise(f"a{spaces}b") == "a b"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=30))
def test_keys_are_equal_exactly_where_texts_are(texts: list[str]) -> None:
    assert len(set(exact_keys(texts).tolist())) == len(set(texts))
    assert len(set(text_keys(texts).tolist())) == len({normalise(text) for text in texts})


def test_a_pair_counts_as_a_whole() -> None:
    keys = text_keys(["a", "a", "A ", "ab"], ["b", "c", "B", ""])
    assert keys[0] == keys[2]
    assert len(set(keys.tolist())) == 3


def test_leaks_are_found_whatever_their_case_spacing_and_task(tmp_path: Path) -> None:
    corpus(
        tmp_path,
        "one",
        train=["Good  Morning", "mine", "both", "kept"],
        validation=["good morning", "both"],
        test=["BOTH"],
    )
    corpus(tmp_path, "two", train=["kept too", "both"], validation=["v"], test=["Mine"])
    found = inputs(tmp_path, "one", "two")
    counted = read_tasks(found, ReadOptions(("train", "validation"), leaks="count"))
    assert counted.leaks["one"].as_json() == {
        "rows": 3,
        "where": {"one validation": 2, "one test": 1, "two test": 1},
    }
    assert counted.leaks["two"].as_json() == {
        "rows": 1,
        "where": {"one validation": 1, "one test": 1},
    }
    assert counted.sizes == {"one": 4, "two": 2}
    assert not any("test" in one.splits for one in counted.corpora)
    dropped = read_tasks(found, ReadOptions(("train", "validation"), leaks="drop"))
    assert dropped.leaks == counted.leaks
    assert (texts(dropped, "one"), texts(dropped, "two")) == (["kept"], ["kept too"])
    assert texts(dropped, "one", "validation") == texts(counted, "one", "validation")
    assert dropped.fingerprints == counted.fingerprints
    assert (
        "one: 3 training rows have a text of validation or test (one validation 2, one test 1, two"
        " test 1)" in dropped.notes[0]
    )


def test_leaks_are_looked_for_only_where_wanted(tmp_path: Path) -> None:
    corpus(tmp_path, "one", train=["a", "b"], validation=["a"])
    data = read_tasks(inputs(tmp_path, "one"), ReadOptions(("train", "validation")))
    assert (data.leaks, data.sizes) == ({}, {"one": 2})


def test_leaks_need_no_test_and_no_published_splits(tmp_path: Path) -> None:
    corpus(tmp_path, "one", train=["a", "b"], validation=["a"])
    assert texts(
        read_tasks(inputs(tmp_path, "one"), ReadOptions(("train", "validation"), leaks="drop")),
        "one",
    ) == ["b"]
    corpus(tmp_path, "split", train=[f"text {i % 40}" for i in range(80)])
    data = read_tasks(inputs(tmp_path, "split", split=Split(0.2, 0.2)), ReadOptions(leaks="drop"))
    assert data.leaks["split"].rows == 0
    assert sum(len(one) for one in data.corpora[0].splits.values()) == 80


def test_leaks_are_dropped_before_the_limit_chooses(tmp_path: Path) -> None:
    scored = [f"text {i}" for i in range(30)]
    corpus(tmp_path, "one", train=[f"text {i}" for i in range(60)], validation=scored)
    data = read_tasks(
        inputs(tmp_path, "one", limit=30, eval_limit=2),
        ReadOptions(("train", "validation"), leaks="drop"),
    )
    assert data.sizes == {"one": 30}
    assert not set(texts(data, "one")) & set(scored)
    assert len(texts(data, "one", "validation")) == 2


def test_a_task_of_which_nothing_would_be_left_is_refused(tmp_path: Path) -> None:
    corpus(tmp_path, "one", train=["a", "b"], validation=["A", "B", "c"])
    with pytest.raises(EmomtlError, match="every training row has a text of validation or test"):
        read_tasks(inputs(tmp_path, "one"), ReadOptions(leaks="drop"))


def test_tasks_of_one_source_lose_the_same_leaks(tmp_path: Path) -> None:
    corpus(tmp_path, "one", train=["a", "b", "c"], validation=["a"])
    (one,) = inputs(tmp_path, "one")
    twin = Task("twin", Files("*"), read, LABELS, head=SingleLabel())
    both = [
        one,
        BoundTask("twin", twin, twin.head, located=locate(twin.layouts, "one", tmp_path, "twin")),
    ]
    data = read_tasks(both, ReadOptions(leaks="drop"))
    assert [found.tasks for found in data.corpora] == [("one", "twin")]
    assert texts(data, "one") == texts(data, "twin") == ["b", "c"]
