"""`Rows`: a plugin's own function finds the rows, and its files are as traced as any others."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError, Example, Files, Rows, SingleLabel, Split, Task
from emomtl.data.bound_task import BoundTask, ReadOptions
from emomtl.data.cache.rows import RowCache
from emomtl.data.locate import locate
from emomtl.data.tasks import read_tasks
from emomtl.testing import check_task

NAMES = ("anger", "joy")


def parallel(texts: Path, labels: Path) -> Iterator[dict[str, str]]:
    """Row i is line i of both files, as in TweetEval."""
    with texts.open(encoding="utf-8") as lines, labels.open(encoding="utf-8") as numbers:
        for text, number in zip(lines, numbers, strict=True):
            yield {"text": text.rstrip("\n"), "label": NAMES[int(number)]}


FILES = {
    "train": ("train_text.txt", "train_labels.txt"),
    "validation": ("val_text.txt", "val_labels.txt"),
}
TWEETS = Rows(parallel, FILES)


def ragged(path: Path) -> Iterator[dict[str, str]]:
    """The label stands before the first comma, the text behind it, whatever commas it has; a
    separator ends the line.
    """
    for line in path.read_text(encoding="utf-8").splitlines():
        label, _, text = line.rstrip(",").partition(",")
        yield {"text": text, "label": label}


def read(row: Mapping[str, Any]) -> Example:
    return Example(row["text"], row["label"])


def tweets(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts, labels in (
        ("train", "good day\nbad day\n", "1\n0\n"),
        ("val", "so, so\n", "0\n"),
    ):
        (folder / f"{name}_text.txt").write_text(texts)
        (folder / f"{name}_labels.txt").write_text(labels)
    return folder


def task(rows: Rows, name: str = "mine", **options: Any) -> Task:
    return Task(name, rows, read, head=SingleLabel(), **options)


CACHED = ReadOptions(recipes={"mine": "r"}, note=lambda line: None)


def given(folder: Path, *tasks: Task) -> list[BoundTask]:
    return [
        BoundTask(one.name, one, one.head, located=locate(one.layouts, ".", folder, one.name))
        for one in tasks
    ]


def test_parallel_files_are_read_by_split(tmp_path: Path) -> None:
    located = locate([TWEETS], "tweets", tweets(tmp_path / "tweets").parent, "mine")
    assert located.splits == ("train", "validation")
    read = {split: list(located.rows(split)) for split in located.splits}
    found = {
        split: [(raw.number, *raw.values.values()) for raw in rows] for split, rows in read.items()
    }
    assert found == {
        "train": [(1, "good day", "joy"), (2, "bad day", "anger")],
        "validation": [(1, "so, so", "anger")],
    }
    assert located.place("train", 2) == (str(tmp_path / "tweets/train_text.txt"), 2)
    with pytest.raises(EmomtlError, match="has no split 'test'"):
        located.rows("test")


def test_one_file_without_splits_is_split_by_the_task(tmp_path: Path) -> None:
    lines = "".join(f"{'joy' if i % 2 else 'fear'},well, text {i},\n" for i in range(100))
    (tmp_path / "isear.csv").write_text(lines)
    one = task(Rows(ragged, ["isear.csv"]), split=Split(validation=0.2))
    for source in (".", "isear.csv"):
        data = read_tasks(
            [
                BoundTask(
                    "mine", one, one.head, located=locate(one.layouts, source, tmp_path, "mine")
                )
            ]
        )
        sizes = {split: len(data.rows("mine", split)) for split in ("train", "validation")}
        assert sum(sizes.values()) == 100
        assert data.corpora[0].splits["train"].texts[0].startswith("well, text ")


def test_a_declared_folder_is_found_without_a_source(tmp_path: Path) -> None:
    tweets(tmp_path / "here")
    assert locate(
        [Rows(parallel, FILES, "gone"), Rows(parallel, FILES, "here")], None, tmp_path, "mine"
    ).splits
    with pytest.raises(EmomtlError) as caught:
        locate([TWEETS, Rows(parallel, FILES, "gone")], None, tmp_path, "mine")
    assert (
        "'*' with train_text.txt, train_labels.txt, val_text.txt, val_labels.txt, read by Python:"
        " is read" in str(caught.value)
    )
    assert "'train_text.txt' is missing, 'train_labels.txt' is missing" in str(caught.value)


def test_every_byte_of_every_file_is_in_the_fingerprint(tmp_path: Path) -> None:
    one = locate([TWEETS], "a", tweets(tmp_path / "a").parent, "mine")
    two = locate([TWEETS], "b", tweets(tmp_path / "b").parent, "mine")
    assert one.fingerprint() == two.fingerprint()
    for name in ("train_text.txt", "val_labels.txt"):
        before = two.fingerprint()
        (tmp_path / "b" / name).write_bytes((tmp_path / "b" / name).read_bytes()[::-1])
        assert two.fingerprint() != before


def test_tasks_with_the_same_function_and_files_share_a_corpus(tmp_path: Path) -> None:
    tweets(tmp_path)
    data = read_tasks(given(tmp_path, task(TWEETS, "one"), task(Rows(parallel, FILES), "two")))
    assert [corpus.tasks for corpus in data.corpora] == [("one", "two")]
    partial = functools.partial(parallel)
    data = read_tasks(given(tmp_path, task(TWEETS, "one"), task(Rows(partial, FILES), "two")))
    assert [corpus.tasks for corpus in data.corpora] == [("one",), ("two",)]


def test_rows_are_cached_and_read_anew_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emomtl.data.cache.rows.FEWEST", 1)
    monkeypatch.setenv("EMOMTL_CACHE", str(tmp_path / "cache"))
    tweets(tmp_path / "rows")
    kept = []
    original = RowCache.find
    monkeypatch.setattr(
        RowCache, "find", lambda self, members: kept.append(original(self, members)) or kept[-1]
    )

    def sizes() -> int:
        data = read_tasks(given(tmp_path / "rows", task(TWEETS)), CACHED)
        assert data.corpora[0].splits["train"].texts[0] == "good day"
        return len(data.rows("mine", "train"))

    assert [sizes(), sizes(), kept[1] is not None] == [2, 2, True]
    with (
        (tmp_path / "rows/train_text.txt").open("a") as texts,
        (tmp_path / "rows/train_labels.txt").open("a") as labels,
    ):
        texts.write("new\n")
        labels.write("1\n")
    assert [sizes(), kept[2]] == [3, None]
    partial = task(Rows(functools.partial(parallel), FILES))
    read_tasks(given(tmp_path / "rows", partial), CACHED)
    read_tasks(given(tmp_path / "rows", partial), CACHED)
    assert kept[3:] == [None, None]


def test_what_the_function_raises_is_one_problem_with_its_row(tmp_path: Path) -> None:
    tweets(tmp_path)
    (tmp_path / "train_labels.txt").write_text("1\nsecret words\n")
    with pytest.raises(EmomtlError) as caught:
        read_tasks(given(tmp_path, task(TWEETS)))
    assert str(caught.value).startswith(
        f"{tmp_path / 'train_text.txt'}: mine: train: `parallel` raised ValueError: "
    )
    assert "after row 1" in str(caught.value)
    with pytest.raises(EmomtlError) as caught:
        read_tasks(given(tmp_path, task(TWEETS, sensitive=True)))
    assert "`parallel` raised ValueError after row 1 (what the file holds is not shown" in str(
        caught.value
    )
    assert "secret" not in str(caught.value)


def test_a_function_that_ends_on_different_lengths_is_heard(tmp_path: Path) -> None:
    tweets(tmp_path)
    (tmp_path / "val_labels.txt").write_text("0\n1\n")
    with pytest.raises(
        EmomtlError, match=r"validation: `parallel` raised ValueError: zip\(\) argument 2 is longer"
    ):
        read_tasks(given(tmp_path, task(TWEETS)))


@pytest.mark.parametrize("found", [3, ["a"], [("a", "joy")]])
def test_rows_that_are_no_mappings_are_refused(tmp_path: Path, found: Any) -> None:
    tweets(tmp_path)
    with pytest.raises(EmomtlError, match=r"no mapping of columns|raised TypeError"):
        read_tasks(given(tmp_path, task(Rows(lambda *paths: found, FILES))))


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (Rows(parallel, "a.txt"), "`files` is a text; give a list of names"),
        (Rows(parallel, {"train": "a.txt"}), "`files` of train is a text"),
        (Rows(parallel, {"dev": ["a.txt"]}), "the split 'dev' is none of train, validation, test"),
        (Rows(parallel, []), "`files` names no file"),
        (Rows(7, ["a.txt"]), "`find` is no function"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_declaration_is_said(tmp_path: Path, rows: Rows, found: str) -> None:
    with pytest.raises(EmomtlError, match=found):
        locate([rows], ".", tmp_path, "mine")


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tweets(tmp_path / "rows")
    (folder / "train_text.txt").rename(tmp_path / "elsewhere.txt")
    (folder / "train_text.txt").symlink_to(tmp_path / "elsewhere.txt")
    with pytest.raises(EmomtlError, match=r"'train_text\.txt' leads out of the folder"):
        locate([TWEETS], "rows", tmp_path, "mine")


def test_check_task_reads_rows_that_python_finds(tmp_path: Path) -> None:
    tweets(tmp_path)
    assert check_task(task(TWEETS), source=tmp_path).labels == {"joy": 1, "anger": 2}
    assert check_task(task(Rows(parallel, FILES, str(tmp_path)))).rows == 3


def test_a_task_may_name_files_and_rows_beside_each_other(tmp_path: Path) -> None:
    tweets(tmp_path / "parallel")
    (tmp_path / "one.csv").write_text("text,label\na,joy\n")
    layouts = [Files("*"), TWEETS]
    assert locate(layouts, "one.csv", tmp_path, "mine").splits == ("all",)
    assert locate(layouts, "parallel", tmp_path, "mine").splits == ("train", "validation")
