"""The layout of a file of new texts: the one in which the run's own tasks read such files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emomtl.contracts.sources import Files
from emomtl.data.layouts import ANYTHING, strict_rows
from emomtl.data.source_file import KINDS, SourceFile, unread_ending
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.compose import BoundTask
    from emomtl.inference.predict.predictor import Predictor

TRIED_ROWS = 20
"""Rows of a file that are shown to a task, to see if it can read them and where its texts are."""


@dataclass(frozen=True)
class FileOptions:
    """How the caller says that a file is read; what is None is taken from the run's tasks."""

    text: str | None = None
    pair: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None
    quoting: Literal["csv", "none"] | None = None


def chosen_layout(path: Path, predictor: Predictor, options: FileOptions) -> tuple[Files, bool]:
    """How a file is read, and whether that is taken from the run.

    EmomtlError where two tasks read such files differently.
    """
    own: dict[str, Files] = {}
    for name, bound in predictor.tasks.items():
        layout = _own_layout(path, bound)
        if layout is not None:
            own[name] = layout
    layouts = own or {"": Files(ANYTHING)}
    task_by_reading: dict[str, str] = {}
    for name, layout in layouts.items():
        layouts[name] = _for_new_texts(layout, options, predictor.sensitive)
        task_by_reading.setdefault(_reading(path, layouts[name]), name)
    if len(task_by_reading) > 1:
        listed = "; ".join(f"'{name}': {reading}" for reading, name in task_by_reading.items())
        finding = f"the tasks of the run read such files differently ({listed})"
        remedy = (
            "say it with --delimiter, --encoding and --header or --no-header, "
            "or choose one task with --task"
        )
        raise EmomtlError(Problem("predict", finding, remedy))
    return next(iter(layouts.values())), bool(own)


def _for_new_texts(layout: Files, options: FileOptions, sensitive: bool) -> Files:
    """A task's layout without its splits and renamed columns, with what the caller says."""
    names_columns = not layout.header and not isinstance(layout.columns, Mapping)
    columns = layout.columns if names_columns and not options.header else None
    changes: dict[str, Any] = {"columns": columns, "sensitive": sensitive}
    for key in ("delimiter", "encoding", "quoting", "header"):
        if getattr(options, key) is not None:
            changes[key] = getattr(options, key)
    return replace(layout, path=ANYTHING, splits=None, split_column=None, **changes)


def _reading(path: Path, layout: Files) -> str:
    """All that decides how a file is read, in words: with equal words, rows are equal."""
    file = SourceFile(path, layout, "predict")
    if file.kind == "parquet":
        return "as Parquet"
    encoding = layout.encoding.lower().replace("_", "-")
    if file.kind == "jsonl":
        return encoding
    header = "a header"
    if not layout.header:
        header = f"no header but the columns {', '.join(layout.columns or ())}"
    quotes = layout.quoting or "csv"
    return f"delimiter {file.delimiter!r}, {encoding}, {header}, quotes as {quotes}"


def _own_layout(path: Path, bound: BoundTask) -> Files | None:
    """The layout in which a task reads files of this kind; None where it has none.

    It is the one for any file, or else the first in which the task can read these rows.
    """
    special: list[Files] = []
    for layout in _file_layouts(bound):
        if layout.path != ANYTHING or layout.splits is not None:
            special.append(layout)
        elif not _of_another_kind(path, bound):
            return layout
    for layout in special:
        if not unread_ending(path, layout) and _readable(bound, layout, path):
            return layout
    return None


def _file_layouts(bound: BoundTask) -> Iterator[Files]:
    """Every layout of a task; of a folder with one file a split, those of the files."""
    for layout in bound.task.layouts:
        if not isinstance(layout, Files):
            continue
        if layout.splits is None:
            yield layout
            continue
        for part in layout.splits.values():
            yield part if isinstance(part, Files) else replace(layout, path=part, splits=None)


def _of_another_kind(path: Path, bound: BoundTask) -> bool:
    """Whether the run read its rows from a file of another kind or ending.

    Then its delimiter says nothing of this one. An ending that is no table's, such as .txt, is one
    only where the run's own file had it.
    """
    source = bound.source or ""
    source_ending, ending = Path(source).suffix.lower(), path.suffix.lower()
    if source.startswith("hub:") or ending not in KINDS:
        return source_ending != ending
    return bool(source_ending) and source_ending != ending


def first_rows(file: SourceFile) -> list[dict[str, Any]]:
    """The first rows of a file."""
    return [dict(row.values) for row in islice(strict_rows(file), TRIED_ROWS)]


def _readable(bound: BoundTask, layout: Files, path: Path) -> bool:
    """Whether a task can read one of the first rows of a file in this layout."""
    if not layout.header and KINDS.get(path.suffix.lower(), "delimited") != "delimited":
        return False
    try:
        rows = first_rows(SourceFile(path, layout, "predict"))
    except EmomtlError:
        return False
    return any(examples_of(bound, row) for row in rows)


def examples_of(bound: BoundTask, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a task makes of a row: its examples, or nothing where it cannot read it."""
    try:
        return tuple(bound.task.examples(row))
    except Exception:  # a plugin's code: whatever it raises, it does not read this row
        return ()
