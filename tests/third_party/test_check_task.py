"""`check_task` passes what is right, and says everything that is wrong."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from emomtl import (
    EmomtlError,
    Example,
    Files,
    Hub,
    MultiLabel,
    Regression,
    SingleLabel,
    Task,
    TaskFamily,
    Taxonomy,
)
from emomtl.testing import check_task

MOODS = Taxonomy(["glad", "sad"])
ROWS = [
    {"text": "Hurray!", "mood": "glad"},
    {"text": "Alas.", "mood": "sad"},
    {"text": "Well.", "mood": "glad"},
]


def read(row: Mapping[str, Any]) -> Example:
    """A row of ROWS."""
    return Example(row["text"], row["mood"])


def _task(read: Any = read, taxonomy: Taxonomy | None = MOODS, **changes: Any) -> Task:
    return Task("moods", Files("*"), read, taxonomy, **{"head": SingleLabel(), **changes})


def test_a_good_task_passes_and_its_rows_are_counted() -> None:
    report = check_task(_task(), ROWS)
    assert (report.rows, report.dropped, report.unlabelled) == (3, 0, 0)
    assert report.labels == {"glad": 2, "sad": 1}


def test_dropped_and_unlabelled_rows_are_counted() -> None:
    def some(row: Mapping[str, Any]) -> Example | None:
        return None if row["text"] == "Well." else Example(row["text"], row["mood"] or None)

    report = check_task(_task(some), {"train": ROWS, "validation": [{"text": "Hm.", "mood": ""}]})
    assert (report.rows, report.dropped, report.unlabelled) == (4, 1, 1)


def test_rows_of_a_file_are_read_as_a_manifest_would(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        (tmp_path / f"{split}.tsv").write_text(
            "text\tmood\nHurray!\tglad\nAlas.\tsad\n", encoding="utf-8"
        )
    assert check_task(_task(), source=tmp_path).rows == 4
    assert (
        check_task(Task("moods", Files(str(tmp_path)), read, MOODS, head=SingleLabel())).rows == 4
    )


def test_a_missing_source_is_said(tmp_path: Path, found: Any) -> None:
    assert "no_such" in found(check_task, _task(), source=tmp_path / "no_such")


def test_a_task_of_the_hub_is_checked_without_rows() -> None:
    assert check_task(Task("moods", Hub("owner/name"), read, MOODS, head=SingleLabel())).rows == 0


def test_a_taxonomy_may_be_learned_from_the_rows() -> None:
    assert check_task(_task(taxonomy=None), ROWS).labels == {"glad": 2, "sad": 1}


def test_numbers_need_no_labels() -> None:
    task = _task(lambda row: Example(row["text"], len(row["text"])), None, head=Regression())
    assert check_task(task, ROWS).labels == {}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            lambda row: Example(row["text"], row["mood"].upper()),
            "train row 1: unknown label 'GLAD' (known: glad, sad)",
        ),
        (lambda row: Example(row["text"], "gladd"), "unknown label 'gladd' (did you mean 'glad'?)"),
        (
            lambda row: Example(row["txt"], row["mood"]),
            "train row 1: `read` found no column 'txt' (look at the source's header)",
        ),
        (
            lambda row: (row["text"], row["mood"]),
            (
                "train row 1: `read` gave tuple with str (return Example(text, label), several of"
                " them in a list, or None)"
            ),
        ),
        (lambda row: Example(7, row["mood"]), "train row 1: the text is int, not a string"),
        (
            lambda row: Example(row["text"], row["mood"], 7),
            "train row 1: the text is int, not a string",
        ),
        (
            lambda row: Example(row.pop("text"), row["mood"]),
            "train row 1: `read` changed the row (copy what you change)",
        ),
        (lambda row: 1 / 0, "train row 1: `read` raised ZeroDivisionError: division by zero"),
        (
            lambda row: Example(row["text"], "glad"),
            "3 row(s) have 1 different label(s) (a task needs two",
        ),
        (lambda row: None, "3 row(s) have 0 different label(s)"),
        (
            lambda row: Example(row["text"], ["glad", "sad"]),
            "label ['glad', 'sad'] is not one name",
        ),
    ],
)
def test_a_broken_read_is_found(broken: Any, message: str, found: Any) -> None:
    assert message in found(check_task, _task(broken), [dict(row) for row in ROWS])


def test_a_read_that_remembers_is_found(found: Any) -> None:
    count = itertools.count()
    remembering = _task(lambda row: Example(f"{row['text']} {next(count)}", row["mood"]))
    assert "`read` gives another example when it reads the row again" in found(
        check_task, remembering, ROWS
    )


def test_every_bad_row_is_said_up_to_the_tenth(found: Any) -> None:
    message = found(check_task, _task(), [{"text": "?", "mood": "odd"}] * 14)
    assert message.count("unknown label 'odd'") == 10
    assert "4 more label(s) do not fit" in message


def test_head_and_taxonomy_must_go_together(found: Any) -> None:
    assert "a regression head takes no taxonomy" in found(
        check_task, _task(head=Regression()), ROWS
    )
    assert "its taxonomy has only 'glad'" in found(
        check_task, _task(taxonomy=Taxonomy(["glad"])), ROWS
    )
    assert "labels with spaces around them: ['sad ']" in found(
        check_task, _task(taxonomy=Taxonomy(["glad", "sad "])), ROWS
    )


def test_several_problems_come_at_once(found: Any) -> None:
    message = found(check_task, _task(lambda row: Example(3, "x"), Taxonomy(["glad"])), ROWS)
    assert "its taxonomy has only 'glad'" in message
    assert "the text is int" in message


def test_an_unknown_split_is_said(found: Any) -> None:
    assert "unknown split 'dev' (train, validation, test)" in found(
        check_task, _task(), {"dev": ROWS}
    )


def test_what_is_no_task_is_said(found: Any) -> None:
    assert "is a dict (give a Task" in found(check_task, {}, ROWS)


def test_a_module_that_imports_torch_is_found_unless_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    code = (
        "import torch\nfrom emomtl import Example\ndef read(row): return Example(row['text'],"
        " row['mood'])\n"
    )
    (tmp_path / "heavy_plugin.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    import heavy_plugin

    task = _task(heavy_plugin.read)
    assert (
        "importing 'heavy_plugin' imports torch (import it inside the function that needs it)"
        in found(check_task, task, ROWS)
    )
    assert check_task(task, ROWS, light_import=False).rows == 3
    del sys.modules["heavy_plugin"]


@dataclass(frozen=True)
class Moods(TaskFamily):
    """A family: the column of the text is an option."""

    name: ClassVar[str] = "moods"
    column: str = "text"

    def task(self) -> Task:
        """The task."""
        return _task(lambda row: Example(row[self.column], row["mood"]), head=MultiLabel())


def test_a_family_passes_with_its_default_options_and_with_others() -> None:
    assert check_task(Moods, ROWS).rows == 3
    assert check_task(Moods(column="mood"), ROWS).rows == 3


def test_a_family_without_a_usable_name_is_found(found: Any) -> None:
    class Nameless(Moods):
        name: ClassVar[str] = "no name!"

    assert "the family's name 'no name!' is not usable" in found(check_task, Nameless, ROWS)


def test_a_family_that_needs_options_is_found(found: Any) -> None:
    @dataclass(frozen=True)
    class Needy(Moods):
        other: str = field(kw_only=True)

    assert "its default options raised TypeError" in found(check_task, Needy, ROWS)


def test_a_family_whose_options_do_not_read_back_is_found(found: Any) -> None:
    @dataclass(frozen=True)
    class Shouting(Moods):
        column: str = "text"

        def __post_init__(self) -> None:
            object.__setattr__(self, "column", self.column + "!")

    assert "its options read back as" in found(check_task, Shouting, ROWS)


def test_a_family_that_refuses_its_own_defaults_is_found(found: Any) -> None:
    @dataclass(frozen=True)
    class Strict(Moods):
        def task(self) -> Task:
            raise EmomtlError("no column is named", remedy="name one")

    assert "its default options: no column is named (name one)" in found(check_task, Strict, ROWS)
