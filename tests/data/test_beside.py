"""No file of rows is passed over in silence: split names are one list, and what is not read is
named.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from emomtl import EmomtlError, Example, Files, Hub, SingleLabel, Split, Task
from emomtl.contracts.sources import SPLIT_NAMES, split_named
from emomtl.data.bound_task import BoundTask, ReadOptions
from emomtl.data.locate import locate
from emomtl.data.tasks import read_tasks

ANY = Files("*")
ROW = "text,label\na,joy\nb,fear\n"
NAMES = [(name, split) for split, names in SPLIT_NAMES.items() for name in names]


def lay(folder: Path, *names: str, content: str = ROW) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def notes(folder: Path, source: str = ".", layout: Files = ANY) -> list[str]:
    return locate([layout], source, folder, "mine").notes


@pytest.mark.parametrize(("name", "split"), NAMES)
def test_split_names_are_the_same_in_files_and_columns(
    tmp_path: Path, name: str, split: str
) -> None:
    lay(tmp_path / "c", f"{name.upper()}.csv")
    assert locate([ANY], "c", tmp_path, "mine").splits == (split,)
    lay(tmp_path, "a.csv", content=f"text,part\na,{name.title()}\n")
    assert locate([Files("*", split_column="part")], "a.csv", tmp_path, "mine").splits == (split,)


@pytest.mark.parametrize(("name", "split"), NAMES)
def test_a_hub_split_has_the_same_names(
    name: str, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    part = datasets.Dataset.from_dict({"text": ["a"]})
    loaded = datasets.DatasetDict({name: part, "unsupervised": part})
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: loaded)
    located = locate([Hub("a/b")], None, Path(), "mine")
    assert located.splits == (split,)
    assert located.notes == ["hub:a/b has splits that are not read: unsupervised"]


def test_val_csv_is_the_validation_split(tmp_path: Path) -> None:
    lay(tmp_path, "train.csv", "val.csv", "test.csv")
    located = locate([ANY], ".", tmp_path, "mine")
    assert located.splits == ("train", "validation", "test")
    assert located.notes == []


def test_eval_is_no_split_since_it_means_two_things(tmp_path: Path) -> None:
    assert split_named("eval") is None
    lay(tmp_path, "train.csv", "eval.csv", "extra.jsonl", "readme.md", ".hidden.csv")
    (note,) = notes(tmp_path)
    assert note.startswith(
        "files beside train.csv that are not read: eval.csv, extra.jsonl (a split is called "
    )


@pytest.mark.parametrize("name", ["val.csv.gz", "val.json", "dev.txt"])
def test_a_split_with_an_unreadable_file_is_not_made(tmp_path: Path, name: str) -> None:
    lay(tmp_path, "train.csv", name)
    with pytest.raises(
        EmomtlError,
        match=r"no file of validation is read: .*the split would be made from the others",
    ):
        locate([ANY], ".", tmp_path, "mine")


def test_text_files_are_read_where_a_delimiter_is_given(tmp_path: Path) -> None:
    lay(tmp_path, "train.txt", "dev.txt")
    assert locate([Files("*", delimiter=",")], ".", tmp_path, "mine").splits == (
        "train",
        "validation",
    )


def test_a_folder_called_like_a_split_is_named(tmp_path: Path) -> None:
    lay(tmp_path, "train.csv")
    lay(tmp_path / "test", "part-0.csv")
    assert notes(tmp_path)[0].startswith("files beside train.csv that are not read: test (")


def test_a_single_file_names_the_splits_that_lie_beside_it(tmp_path: Path) -> None:
    lay(tmp_path, "train.csv", "test.csv", "isear_train.csv", "isear-val.csv", "other.csv")
    remedy = "name the folder to read each split from its own file"
    assert notes(tmp_path, "train.csv") == [
        f"beside train.csv stand files that are not read: test.csv ({remedy})"
    ]
    found = notes(tmp_path, "isear_train.csv")
    assert found == [
        f"beside isear_train.csv stand files that are not read: isear-val.csv ({remedy})"
    ]
    assert notes(tmp_path, "other.csv") == []


def test_declared_splits_note_only_files_called_like_splits(tmp_path: Path) -> None:
    lay(tmp_path, "train.tsv", "test.tsv", "emotions.csv", content="text\tlabel\na\tjoy\n")
    found = notes(tmp_path, layout=Files("*", splits={"train": "train.tsv"}))
    assert found[0].startswith("files beside train.tsv that are not read: test.tsv (")
    lay(tmp_path, "gold.tsv", content="text\tlabel\na\tjoy\n")
    assert (
        notes(tmp_path, layout=Files("*", splits={"train": "train.tsv", "test": "gold.tsv"})) == []
    )


def test_an_unused_column_of_splits_is_noted(tmp_path: Path) -> None:
    lay(tmp_path, "a.csv", content="text,Split\na,train\nb,dev\n")
    assert notes(tmp_path, "a.csv")[0].startswith(
        "the column 'Split' tells splits and is not asked"
    )
    assert notes(tmp_path, "a.csv", Files("*", split_column="Split")) == []
    lay(tmp_path, "a.csv", content="text,split\na,yes\nb,no\n")
    assert notes(tmp_path, "a.csv") == []


def test_splits_that_are_made_are_said_with_their_rows(tmp_path: Path) -> None:
    lay(tmp_path, "train.csv", "extra.csv")
    rows = "".join(f"text {i},{'joy' if i % 2 else 'fear'}\n" for i in range(100))
    lay(tmp_path, "train.csv", content=f"text,label\n{rows}")

    def read(row: dict[str, str]) -> Example:
        return Example(row["text"], row["label"])

    task = Task("mine", ANY, read, head=SingleLabel(), split=Split(validation=0.2, test=0.1))
    one = BoundTask("mine", task, task.head, located=locate(task.layouts, ".", tmp_path, "mine"))
    data = read_tasks([one])
    sizes = {split: len(data.rows("mine", split)) for split in ("validation", "test")}
    made = (
        f"mine: validation ({sizes['validation']} rows) and test ({sizes['test']} rows) made of its"
        " training rows"
    )
    assert data.notes[0] == f"{made}, by a hash of each text"
    assert data.notes[1].startswith("mine: files beside train.csv that are not read: extra.csv")
    assert read_tasks([one], ReadOptions(("train", "validation"))).notes == data.notes
