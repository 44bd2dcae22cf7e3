"""Which columns of a file hold the texts: those that the caller names, else those from which the run's tasks take theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import Files
from emomtl.data.source_file import HIDDEN, SourceFile
from emomtl.errors import EmomtlError, Problem, clean, closest, suggest
from emomtl.inference.predict.layout import bound_reads, first_rows

if TYPE_CHECKING:
    from emomtl.compose import BoundTask
    from emomtl.inference.predict.predictor import Predictor

USUAL = "text"
"""The column that is read where neither the caller nor the task says which."""


def text_column(file: SourceFile, columns: Sequence[str], predictor: Predictor, given: str | None) -> str:
    """The column that holds the texts."""
    if given is not None:
        return _existing(file, "--text", given, columns)
    if len(columns) == 1 and not file.layout.header and file.kind == "delimited":
        return columns[0]
    wanted = {name: _text_of(file, bound) or USUAL for name, bound in predictor.tasks.items()}
    return _one_of(file, "--text", wanted, columns)


def pair_column(file: SourceFile, columns: Sequence[str], predictor: Predictor, given: str | None) -> str | None:
    """The column that holds the second texts; None where no task reads any, or where those that do cannot say which."""
    if given is not None and not predictor.paired:
        found = "no task that answers here was trained on pairs of texts"
        raise EmomtlError(Problem("--pair", found, "leave it out"))
    if given is not None or not predictor.paired:
        return None if given is None else _existing(file, "--pair", given, columns)
    wanted = {name: _pair_of(file, predictor.tasks[name]) for name in sorted(predictor.paired)}
    known = {name: column for name, column in wanted.items() if column is not None}
    return _one_of(file, "--pair", known, columns) if known else None


def _one_of(file: SourceFile, flag: str, wanted: Mapping[str, str], columns: Sequence[str]) -> str:
    """The one column that tasks take their texts from, of those that the file has."""
    there = {column: name for name, column in reversed(list(wanted.items())) if column in columns}
    if len(there) > 1:
        listed = ", ".join(f"'{name}' reads '{clean(column)}'" for column, name in sorted(there.items()))
        found = f"the tasks of the run take their texts from different columns ({listed})"
        raise EmomtlError(Problem(flag, found, f"name one with {flag}, or choose a task with --task"))
    if there:
        return next(iter(there))
    return _existing(file, flag, next(iter(wanted.values())), columns)


def _existing(file: SourceFile, flag: str, column: str, columns: Sequence[str]) -> str:
    """The column, which the file must have."""
    if column in columns:
        return column
    sensitive = file.layout.sensitive
    near = HIDDEN if sensitive else suggest(column, columns)
    unlike = file.kind == "delimited" and (sensitive or closest(column, columns) is None)
    how = "; --delimiter, --encoding and --no-header say how the file is read" if unlike else ""
    raise EmomtlError(Problem(flag, f"{clean(file.path.name)} has no column '{clean(column)}'", near + how))


def _text_of(file: SourceFile, bound: BoundTask) -> str | None:
    """The column from which a task takes its texts: what its option `text` says, else where they are found in the first rows."""
    said = getattr(bound.family, "text", None)
    if isinstance(said, str):
        return said
    places = _places(file, bound, "text")
    if places is not None and not places:
        found = f"the texts that the task '{bound.name}' makes of these rows stand in none of their columns"
        remedy = "put them into a column as the task's `read` makes them, and name it with --text"
        raise EmomtlError(Problem("--text", found, remedy))
    return None if places is None else places[0]


def _pair_of(file: SourceFile, bound: BoundTask) -> str | None:
    """The same of the second texts; None where nothing tells it."""
    said = getattr(bound.family, "pair", None)
    if isinstance(said, str):
        return said
    places = _places(file, bound, "pair")
    return places[0] if places else None


def _places(file: SourceFile, bound: BoundTask, part: str) -> list[str] | None:
    """The columns that hold what a task reads as `part` of an example, in all rows that it can read; None where it reads none."""
    examples = bound_reads(bound)
    renames = [layout.columns for layout in bound.task.layouts if isinstance(layout, Files)]
    names: Mapping[str, str] = next((one for one in renames if isinstance(one, Mapping)), {})
    found: list[str] | None = None
    for row in first_rows(file):
        read = examples({names.get(column, column): cell for column, cell in row.items()})
        texts = {getattr(example, part) for example in read}
        if len(texts) != 1 or not isinstance(text := texts.pop(), str):
            continue
        here = [column for column, cell in row.items() if _is_text(cell, text)]
        found = here if found is None else [column for column in found if column in here]
    return found


def _is_text(cell: Any, text: str) -> bool:
    return isinstance(cell, str) and cell.strip() == text.strip()
