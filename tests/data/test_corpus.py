"""Rows through `read`: shared corpora, places of bad rows, odd texts that are counted, limits and
learned labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl import (
    EmomtlError,
    Example,
    Files,
    Head,
    MultiLabel,
    Regression,
    SingleLabel,
    Split,
    Task,
    Taxonomy,
)
from emomtl.contracts.task import Published
from emomtl.data.bound_task import BoundTask, ReadOptions
from emomtl.data.locate import locate
from emomtl.data.tasks import read_tasks
from emomtl.manifest import TaskTable

LABELS = Taxonomy(["joy", "anger"])


def read(row: Mapping[str, Any]) -> Example | None:
    return Example(row["text"], row["label"])


def odd(row: Mapping[str, Any]) -> Example | None:
    """Every second row only."""
    return Example(row["text"], row["label"]) if int(row["n"]) % 2 else None


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows(n: int = 6) -> list[dict[str, Any]]:
    return [{"text": f"text {i}", "label": "joy" if i % 3 else "anger", "n": i} for i in range(n)]


def task(
    name: str = "mood",
    reader: Any = read,
    taxonomy: Taxonomy | None = LABELS,
    head: Head | None = None,
    **more: Any,
) -> Task:
    return Task(name, Files("*"), reader, taxonomy, head=head or SingleLabel(), **more)


def given(folder: Path, *tasks: Task, source: str = "rows", **more: Any) -> list[BoundTask]:
    return [
        BoundTask(
            one.name,
            one,
            one.head,
            TaskTable(**more),
            locate(one.layouts, source, folder, one.name),
        )
        for one in tasks
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    for split in ("train", "validation", "test"):
        write(tmp_path / "rows" / f"{split}.jsonl", rows())
    return tmp_path


def test_tasks_of_one_source_share_its_texts(folder: Path) -> None:
    data = read_tasks(given(folder, task("odd", odd), task("all"), task("odd-too", odd)))
    assert [corpus.name for corpus in data.corpora] == ["odd"]
    corpus = data.corpora[0]
    assert corpus.tasks == ("odd", "all", "odd-too")
    assert list(corpus.splits["train"].texts) == [f"text {i}" for i in range(6)]
    for name, numbers in (("odd", [1, 3, 5]), ("all", range(6)), ("odd-too", [1, 3, 5])):
        found = data.rows(name, "train")
        assert [corpus.splits["train"].texts[i] for i in found.index] == [
            f"text {i}" for i in numbers
        ]
        assert found.targets.tolist() == [0 if i % 3 else 1 for i in numbers]
    assert data.sizes == {"odd": 3, "all": 6, "odd-too": 3}


def test_other_texts_of_the_same_rows_are_another_corpus(folder: Path) -> None:
    def loud(row: Mapping[str, Any]) -> Example:
        return Example(row["text"].upper(), row["label"])

    data = read_tasks(given(folder, task("quiet"), task("loud", loud), task("quiet-too")))
    assert [corpus.tasks for corpus in data.corpora] == [("quiet", "quiet-too"), ("loud",)]


def test_a_source_is_read_once_for_all_its_tasks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = given(folder, task("one"), task("two"))
    calls: list[str] = []
    original = type(inputs[0].located).rows_with_bad

    def counting(self: Any, split: str) -> Any:
        calls.append(split)
        return original(self, split)

    monkeypatch.setattr(type(inputs[0].located), "rows_with_bad", counting)
    read_tasks(inputs)
    assert sorted(calls) == ["test", "train", "validation"]


def test_bad_rows_come_at_once_with_file_and_line(folder: Path) -> None:
    bad = rows(25)
    bad[16]["label"] = "joyy"
    bad[20]["text"] = None
    del bad[21]["label"]
    write(folder / "rows" / "train.jsonl", bad)
    with pytest.raises(EmomtlError) as caught:
        read_tasks(given(folder, task()))
    said = {problem.line: problem for problem in caught.value.problems}
    assert set(said) == {17, 21, 22}
    assert said[17].file.endswith("train.jsonl")
    assert (said[17].place, said[17].found, said[17].remedy) == (
        "mood: train row 17",
        "unknown label 'joyy'",
        "did you mean 'joy'?",
    )
    assert "NoneType, not a string" in said[21].found
    assert "no column 'label'" in said[22].found


def test_bad_rows_that_are_skipped_are_counted_and_listed(folder: Path) -> None:
    bad = rows(8)
    bad[2]["label"], bad[3]["text"] = "joyy", 7
    write(folder / "rows" / "train.jsonl", bad)
    data = read_tasks(given(folder, task()), ReadOptions(on_bad_row="skip"))
    assert data.counted["mood"] == {"bad rows": 2}
    assert data.notes[0] == "mood: 2 bad rows"
    assert sum("skipped" in line and "train.jsonl" in line for line in data.notes) == 2
    assert len(data.rows("mood", "train")) == 7, (
        "the row with an unknown label stays, without label"
    )
    assert (data.rows("mood", "train").targets == -100).sum() == 1


def test_more_than_ten_bad_rows_are_not_all_listed(folder: Path) -> None:
    write(folder / "rows" / "train.jsonl", [{"text": "a", "label": "x"} for _ in range(50)])
    with pytest.raises(EmomtlError, match="more than 10 bad rows") as caught:
        read_tasks(given(folder, task()))
    assert len(caught.value.problems) == 11


def test_a_reader_that_raises_is_a_bad_row(folder: Path) -> None:
    def broken(row: Mapping[str, Any]) -> Example:
        return Example(row["text"], ["joy", "anger"][10 if row["n"] == 4 else 0])

    with pytest.raises(EmomtlError) as caught:
        read_tasks(given(folder, task("mine", broken)))
    assert "mine: train row 5: `read` raised IndexError: list index out of range" in str(
        caught.value
    )


def test_a_sensitive_task_never_shows_a_row(folder: Path) -> None:
    def broken(row: Mapping[str, Any]) -> Example:
        raise ValueError(row["text"])

    with pytest.raises(EmomtlError) as caught:
        read_tasks(given(folder, task("private", broken, sensitive=True)))
    assert "text 0" not in str(caught.value)
    assert "does not read (ValueError)" in str(caught.value)


def test_lone_surrogates_and_empty_texts_are_counted(folder: Path) -> None:
    write(
        folder / "rows" / "train.jsonl",
        [
            *rows(),
            {"text": "broken \ud83d emoji", "label": "joy"},
            {"text": "", "label": "joy"},
            {"text": " \n", "label": "joy"},
        ],
    )
    data = read_tasks(given(folder, task()))
    texts = data.corpora[0].splits["train"].texts
    assert texts[6] == "broken \ufffd emoji"
    assert data.counted["mood"] == {"texts with lone surrogates (replaced)": 1, "empty texts": 2}


@pytest.mark.parametrize("text", ["NA", "null", "None", "nan", "N/A", "[/foo]", "-inf", "#N/A"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_texts_that_look_like_something_else_are_texts(
    tmp_path: Path, text: str, kind: str
) -> None:
    (tmp_path / "rows").mkdir()
    for split in ("train", "validation", "test"):
        if kind == "csv":
            (tmp_path / "rows" / f"{split}.csv").write_text(f"text,label\n{text},joy\nb,anger\n")
        else:
            write(
                tmp_path / "rows" / f"{split}.jsonl",
                [{"text": text, "label": "joy"}, {"text": "b", "label": "anger"}],
            )
    data = read_tasks(given(tmp_path, task()))
    assert [data.corpora[0].splits[split].texts[0] for split in data.corpora[0].splits] == [
        text
    ] * 3
    assert data.counted["mood"] == {}


def test_limits_choose_the_same_rows_in_any_order(folder: Path) -> None:
    many = rows(200)
    write(folder / "rows" / "train.jsonl", many)
    write(folder / "rows" / "validation.jsonl", many)
    chosen = []
    for order in (many, many[::-1]):
        write(folder / "rows" / "train.jsonl", order)
        data = read_tasks(
            given(folder, task(), limit=20, eval_limit=7), ReadOptions(("train", "validation"))
        )
        assert data.sizes == {"mood": 20}
        assert len(data.rows("mood", "validation")) == 7
        chosen.append(set(data.corpora[0].splits["train"].texts))
    assert chosen[0] == chosen[1]


def test_a_made_split_keeps_duplicates_together(tmp_path: Path) -> None:
    double = [{"text": f"text {i % 50}", "label": "joy"} for i in range(150)]
    write(tmp_path / "rows.jsonl", double)
    data = read_tasks(
        given(tmp_path, task(split=Split(validation=0.2, test=0.2)), source="rows.jsonl")
    )
    parts = [set(split.texts) for split in data.corpora[0].splits.values()]
    assert [len(part) > 0 for part in parts] == [True] * 3
    assert len(set.union(*parts)) == sum(map(len, parts))
    assert sum(len(split) for split in data.corpora[0].splits.values()) == 150


def test_open_labels_are_learned_from_training_rows_alone(folder: Path) -> None:
    write(folder / "rows" / "validation.jsonl", [{"text": "x", "label": "envy"}])
    with pytest.raises(EmomtlError, match="unknown label 'envy'"):
        read_tasks(given(folder, task(taxonomy=None)))
    write(folder / "rows" / "validation.jsonl", rows())
    data = read_tasks(given(folder, task(taxonomy=None)))
    taxonomy = data.taxonomies["mood"]
    assert taxonomy is not None
    assert taxonomy.names == ("anger", "joy")


def test_a_task_whose_training_rows_have_one_label_is_refused(folder: Path) -> None:
    write(folder / "rows" / "train.jsonl", [{"text": "a", "label": "joy"}])
    with pytest.raises(EmomtlError, match="1 label"):
        read_tasks(given(folder, task(taxonomy=None)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "high", True, [1.0, 2.0]])
def test_a_target_must_be_a_finite_number(folder: Path, value: Any) -> None:
    content = [{"text": "a", "label": 1.0}, {"text": "b", "label": value}]
    write(folder / "rows" / "train.jsonl", content)
    write(folder / "rows" / "validation.jsonl", content[:1])
    write(folder / "rows" / "test.jsonl", content[:1])
    with pytest.raises(EmomtlError) as caught:
        read_tasks(given(folder, task(taxonomy=None, head=Regression())))
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].line == 2


def test_rows_without_label_are_unlabelled_and_not_wrong(folder: Path) -> None:
    write(folder / "rows" / "train.jsonl", [*rows(), {"text": "who knows", "label": None}])
    data = read_tasks(given(folder, task(), task("several", head=MultiLabel())))
    assert data.rows("mood", "train").targets.tolist()[-1] == -100
    assert np.isnan(data.rows("several", "train").targets[-1]).all()


def test_counts_that_differ_from_published_ones_are_noted(folder: Path) -> None:
    printed = Published(sizes={"train": 6, "test": 7}, labels={"train": {"joy": 3, "anger": 2}})
    data = read_tasks(given(folder, task(published=printed)))
    assert data.notes == [
        "mood: test has 6 rows, 7 are published: a part or another release?",
        "mood: train labels differ from the published counts: joy 4 not 3",
    ]


def test_problems_of_several_tasks_come_in_one_error(folder: Path) -> None:
    (folder / "other").mkdir()
    for split in ("train", "validation", "test"):
        write(folder / "other" / f"{split}.jsonl", [{"text": "a", "label": "x"}])
    with pytest.raises(EmomtlError) as caught:
        read_tasks(
            [
                *given(folder, task("one"), source="other"),
                *given(folder, task("two", lambda row: 3)),
            ]
        )
    assert {problem.place.split(":")[0] for problem in caught.value.problems} == {"one", "two"}
