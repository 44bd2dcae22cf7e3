"""The layout of a file of new texts: that in which the run's own tasks read theirs, where the file is of that kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import Files
from emomtl.data.layouts import ANYTHING, READERS
from emomtl.data.source_file import KINDS, SourceFile, unread_ending
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.compose import BoundTask
    from emomtl.inference.predict.choices import Choices
    from emomtl.inference.predict.predictor import Predictor

TRIED_ROWS = 20
"""Rows of a file that are shown to a task, to see whether it can read them and where their texts come from."""


def chosen_layout(path: Path, predictor: Predictor, choices: Choices) -> tuple[Files, bool]:
    """How a file is read, and whether that is taken from the run; an error where two tasks read such files differently."""
    own = {name: found for name, bound in predictor.tasks.items() if (found := _own_layout(path, bound)) is not None}
    plain = Files(ANYTHING)
    layouts: dict[str, Files] = {}
    for name, layout in (own or {"": plain}).items():
        columns = layout.columns if not layout.header and not isinstance(layout.columns, Mapping) else None
        layout = replace(layout, path=ANYTHING, splits=None, split_column=None, columns=columns, sensitive=predictor.sensitive)
        layouts[name] = _with_choices(layout, choices)
    by_reading: dict[str, str] = {}
    for name, layout in layouts.items():
        by_reading.setdefault(_reading(path, layout), name)
    if len(by_reading) > 1:
        listed = "; ".join(f"'{name}': {reading}" for reading, name in by_reading.items())
        remedy = "say it with --delimiter, --encoding and --header or --no-header, or choose one task with --task"
        raise EmomtlError(Problem("predict", f"the tasks of the run read such files differently ({listed})", remedy))
    return next(iter(layouts.values())), bool(own)


def _with_choices(layout: Files, choices: Choices) -> Files:
    """The layout with what the caller says."""
    if choices.delimiter is not None:
        layout = replace(layout, delimiter=choices.delimiter)
    if choices.encoding is not None:
        layout = replace(layout, encoding=choices.encoding)
    if choices.quoting is not None:
        layout = replace(layout, quoting=choices.quoting)
    if choices.header is not None:
        layout = replace(layout, header=choices.header, columns=None if choices.header else layout.columns)
    return layout


def _reading(path: Path, layout: Files) -> str:
    """All that decides how a file is read, in words; equal words, equal rows."""
    file = SourceFile(path, layout, "predict")
    if file.kind == "parquet":
        return "as Parquet"
    encoding = layout.encoding.lower().replace("_", "-")
    if file.kind == "jsonl":
        return encoding
    header = "a header" if layout.header else f"no header but the columns {', '.join(layout.columns or ())}"
    return f"delimiter {file.delimiter!r}, {encoding}, {header}, quotes as {layout.quoting or 'csv'}"


def _own_layout(path: Path, bound: BoundTask) -> Files | None:
    """The layout in which a task reads files of this kind: the one for any file, or the first that it can read these rows in."""
    for layout in _parts(bound):
        if layout.path == ANYTHING and layout.splits is None and not _of_another_kind(path, bound):
            return layout
    for layout in _parts(bound):
        general = layout.path == ANYTHING and layout.splits is None
        if not general and not unread_ending(path, layout) and _readable(bound, layout, path):
            return layout
    return None


def _parts(bound: BoundTask) -> Iterator[Files]:
    """Every layout of a task; of a folder with one file a split, those of the files."""
    for layout in bound.task.layouts:
        if not isinstance(layout, Files):
            continue
        if layout.splits is None:
            yield layout
        for part in (layout.splits or {}).values():
            yield part if isinstance(part, Files) else replace(layout, path=part, splits=None)


def _of_another_kind(path: Path, bound: BoundTask) -> bool:
    """Whether the run read its rows from a file of another kind or ending, so that its delimiter says nothing of this one."""
    source = bound.source or ""
    ending, own = Path(source).suffix.lower(), path.suffix.lower()
    if source.startswith("hub:") or own not in KINDS:  # such as .txt, which is a table only where the run's own file was one
        return ending != own
    return bool(ending) and ending != own


def first_rows(file: SourceFile) -> list[dict[str, Any]]:
    """The first rows of a file."""
    return [dict(row) for _, row in islice(READERS[file.kind].rows(file), TRIED_ROWS)]


def _readable(bound: BoundTask, layout: Files, path: Path) -> bool:
    """Whether a task can read one of the first rows of a file in this layout."""
    if not layout.header and KINDS.get(path.suffix.lower(), "delimited") != "delimited":
        return False
    try:
        rows = first_rows(SourceFile(path, layout, "predict"))
    except EmomtlError:
        return False
    return any(map(bound_reads(bound), rows))


def bound_reads(bound: BoundTask) -> Any:
    """A function that gives what a task makes of a row: its examples, or nothing where it cannot read it."""

    def examples(row: Mapping[str, Any]) -> tuple[Any, ...]:
        try:
            return bound.task.examples(row)
        except Exception:  # a stranger's code: whatever it raises, the row is not one that it reads
            return ()

    return examples
