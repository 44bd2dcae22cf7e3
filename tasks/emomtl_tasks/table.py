"""The task family `table`: one's own CSV, TSV, JSONL or Parquet file as a task, without writing Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import annotated_types

from emomtl import EmomtlError, Example, Files, Head, Regression, SingleLabel, Split, Task, TaskFamily, Taxonomy, hookimpl

Share = Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)]

CARD = """\
Your own file or folder, named by `source` in the manifest. What a label cell may hold: one name; several names joined by
`separator`; a list of names (JSONL, Parquet); a table of names with values in 0..1, null for unknown (JSONL, Parquet); a
number or several, for a regression head; or nothing, where the row has no label. An integer (JSONL, Parquet) is the position
of a label where `labels` are given; else it is taken as it is written, like `1` in a CSV file: a name, or a regression's number.
"""


@dataclass(frozen=True)
class Table(TaskFamily):
    """One's own file: which columns hold the text, the label, a second text and the split, and how labels are written.

    Several columns in `label` are numbers, one dimension of a regression each. `labels` is the taxonomy, in order; left
    out, it is learned from the training rows. `columns` names the columns of a file without header, "" for one that is left
    out. `quoting` is "none" where a quote is a plain character, and "csv" where cells may hold line breaks. `validation` and
    `test` are the shares of the rows that become those splits where the file or folder has none. Texts of a `sensitive`
    table are never printed, logged, cached or reported.
    """

    name: ClassVar[str] = "table"
    text: str = "text"
    label: str | tuple[str, ...] = "label"
    pair: str | None = None
    split: str | None = None
    separator: str = "|"
    labels: tuple[str, ...] | None = None
    header: bool = True
    columns: tuple[str, ...] | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    quoting: Literal["csv", "none"] | None = None
    validation: Share = 0.1
    test: Share = 0.1
    sensitive: bool = False

    def __post_init__(self) -> None:
        if self.header == (self.columns is not None):
            raise ValueError("`columns` names the columns of a file without header: give it together with `header = false`")
        lacking = [column for column in self._columns if self.columns is not None and column not in self.columns]
        if lacking:
            raise ValueError(f"`columns` has no '{lacking[0]}'; give every column of the file, in order")
        if not self.separator:
            raise ValueError("`separator` is empty; give the text that stands between two labels, such as '|'")
        if self.validation + self.test >= 1:
            raise ValueError(f"validation = {self.validation} and test = {self.test} leave no rows to train on")
        if not self.label or (self.labels is not None and isinstance(self.label, tuple)):
            raise ValueError("`label` is one column of names, or several columns of numbers; `labels` goes with names only")

    @property
    def _columns(self) -> tuple[str, ...]:
        """The columns that `read` needs."""
        labels = (self.label,) if isinstance(self.label, str) else self.label
        return (self.text, *labels, *(() if self.pair is None else (self.pair,)))

    @cached_property
    def _taxonomy(self) -> Taxonomy | None:
        return None if self.labels is None else Taxonomy(self.labels)

    def read(self, row: Mapping[str, Any]) -> Example:
        """One row as text, label and pair; a missing column or a text that is none is an error that names the column."""
        text = _text(row, self.text)
        if text is None:
            raise EmomtlError(f"column '{self.text}' is empty", remedy="every row needs a text")
        pair = None if self.pair is None else _text(row, self.pair)
        if isinstance(self.label, tuple):
            return Example(text, tuple(_number(row, column) for column in self.label), pair)
        return Example(text, self._label(_cell(row, self.label)), pair)

    def _label(self, cell: Any) -> Any:
        """A label cell as names: a text is split at the separator, an integer is looked up or written out, a fraction stays."""
        if isinstance(cell, str):
            if not cell.strip():
                return None
            names = [name.strip() for name in cell.split(self.separator)]
            return names[0] if len(names) == 1 else [name for name in names if name]
        if isinstance(cell, bool):
            return str(cell).lower()
        if isinstance(cell, int):
            return str(cell) if self._taxonomy is None else self._taxonomy[cell]
        if isinstance(cell, (list, tuple)):
            return [item.strip() if isinstance(item, str) else self._label(item) for item in cell]
        return cell

    def task(self) -> Task:
        """The task, its columns named so that a file without one is refused at once.

        The head is single-label, or a regression over several label columns, unless the manifest says otherwise.
        """
        source = Files(
            "*",
            columns=self.columns or {column: column for column in self._columns},
            header=self.header,
            delimiter=self.delimiter,
            encoding=self.encoding,
            quoting=self.quoting,
            split_column=self.split,
        )
        head: Head = Regression(self.label) if isinstance(self.label, tuple) else SingleLabel()
        split = Split(validation=self.validation, test=self.test)
        return Task(self.name, source, self.read, self._taxonomy, head=head, split=split, sensitive=self.sensitive, card=CARD)


def _cell(row: Mapping[str, Any], column: str) -> Any:
    """The cell of a column; where the row has no such column, an error that lists those it has."""
    if column not in row:
        raise EmomtlError(f"there is no column '{column}'", remedy=f"columns: {', '.join(map(str, row))}")
    return row[column]


def _text(row: Mapping[str, Any], column: str) -> str | None:
    """The text of a column; None stays None, anything else is refused."""
    cell = _cell(row, column)
    if cell is not None and not isinstance(cell, str):
        raise EmomtlError(f"column '{column}' holds {type(cell).__name__}, not a text", remedy="name the column that holds texts")
    return cell


def _number(row: Mapping[str, Any], column: str) -> float | None:
    """The number of a column, None where the cell is empty."""
    cell = _cell(row, column)
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise EmomtlError(f"column '{column}' holds {cell!r}, not a number", remedy="several label columns are numbers") from None


@hookimpl
def emomtl_tasks() -> list[type[TaskFamily]]:
    """One's own file as a task."""
    return [Table]
