"""The columns of a file that hold the texts: as the caller says, else as the run's tasks read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from emomtl.contracts.sources import Files
from emomtl.data.source_file import HIDDEN, SourceFile
from emomtl.errors import EmomtlError, Problem, clean, closest, suggest
from emomtl.inference.predict.layout import examples_of, first_rows

if TYPE_CHECKING:
    from emomtl.compose import BoundTask
    from emomtl.inference.predict.predictor import Predictor

DEFAULT_COLUMN = "text"
"""The column that is read where neither the caller nor the task says which."""


def text_column(
    file: SourceFile, columns: Sequence[str], predictor: Predictor, wanted: str | None
) -> str:
    """The column that holds the texts; `wanted` is the one that the caller names."""
    if wanted is not None:
        return _existing(file, "--text", wanted, columns)
    if len(columns) == 1 and not file.layout.header and file.kind == "delimited":
        return columns[0]
    by_task: dict[str, str] = {}
    for name, bound in predictor.tasks.items():
        by_task[name] = _task_column(file, bound, "text") or DEFAULT_COLUMN
    return _common(file, "--text", by_task, columns)


def pair_column(
    file: SourceFile, columns: Sequence[str], predictor: Predictor, wanted: str | None
) -> str | None:
    """The column that holds the second texts; None where no task reads any, or none is known."""
    if wanted is not None:
        if predictor.paired:
            return _existing(file, "--pair", wanted, columns)
        finding = "no task that answers here was trained on pairs of texts"
        raise EmomtlError(Problem("--pair", finding, "leave it out"))
    by_task: dict[str, str] = {}
    for name in sorted(predictor.paired):
        column = _task_column(file, predictor.tasks[name], "pair")
        if column is not None:
            by_task[name] = column
    return _common(file, "--pair", by_task, columns) if by_task else None


def _common(file: SourceFile, flag: str, by_task: Mapping[str, str], columns: Sequence[str]) -> str:
    """The one column of the file from which tasks take their texts."""
    task_by_column: dict[str, str] = {}
    for task, column in by_task.items():
        if column in columns:
            task_by_column.setdefault(column, task)
    if not task_by_column:
        return _existing(file, flag, next(iter(by_task.values())), columns)
    if len(task_by_column) > 1:
        pairs = sorted(task_by_column.items())
        listed = ", ".join(f"'{task}' reads '{clean(column)}'" for column, task in pairs)
        finding = f"the tasks of the run take their texts from different columns ({listed})"
        remedy = f"name one with {flag}, or choose a task with --task"
        raise EmomtlError(Problem(flag, finding, remedy))
    return next(iter(task_by_column))


def _existing(file: SourceFile, flag: str, column: str, columns: Sequence[str]) -> str:
    """The column, or EmomtlError where the file has none of this name."""
    if column in columns:
        return column
    sensitive = file.layout.sensitive
    remedy = HIDDEN if sensitive else suggest(column, columns)
    if file.kind == "delimited" and (sensitive or closest(column, columns) is None):
        remedy += "; --delimiter, --encoding and --no-header say how the file is read"
    finding = f"{clean(file.path.name)} has no column '{clean(column)}'"
    raise EmomtlError(Problem(flag, finding, remedy))


def _task_column(file: SourceFile, bound: BoundTask, part: str) -> str | None:
    """The column of a task's texts (`part` is "text") or second texts ("pair").

    It is what the task's option of that name says, else where they stand in the first rows. None
    where the task can read none of these rows, or, of second texts, where they stand in no column.
    """
    option = getattr(bound.family, part, None)
    if isinstance(option, str):
        return option
    columns = _columns_holding(file, bound, part)
    if columns is None:
        return None
    if not columns and part == "text":
        finding = (
            f"the texts that the task '{bound.name}' makes of these rows stand in none of their "
            "columns"
        )
        remedy = "put them into a column as the task's `read` makes them, and name it with --text"
        raise EmomtlError(Problem("--text", finding, remedy))
    return columns[0] if columns else None


def _columns_holding(file: SourceFile, bound: BoundTask, part: str) -> list[str] | None:
    """The columns that hold a part of a task's examples in all rows that it can read.

    None where it can read none.
    """
    names: Mapping[str, str] = {}
    for layout in bound.task.layouts:
        if isinstance(layout, Files) and isinstance(layout.columns, Mapping) and not names:
            names = layout.columns
    columns: list[str] | None = None
    for row in first_rows(file):
        renamed = {names.get(column, column): cell for column, cell in row.items()}
        texts = {getattr(example, part) for example in examples_of(bound, renamed)}
        text = texts.pop() if len(texts) == 1 else None
        if not isinstance(text, str):
            continue
        holding: list[str] = []
        for column, cell in row.items():
            if isinstance(cell, str) and cell.strip() == text.strip():
                holding.append(column)
        if columns is not None:  # only those that held it in the rows before, too
            holding = [column for column in columns if column in holding]
        columns = holding
    return columns
