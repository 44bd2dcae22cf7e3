"""The task family `table`: one's own CSV, TSV, JSONL or Parquet file as a task, without writing Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Literal

import annotated_types

from emomtl import (
    EmomtlError,
    Example,
    Files,
    Head,
    LabelReader,
    MultiLabel,
    Regression,
    SingleLabel,
    Split,
    Task,
    TaskFamily,
    Taxonomy,
    hookimpl,
)

LabelFormat = Literal["names", "indices", "multi-hot", "one-hot-columns", "distribution"]

IN_COLUMNS = ("one-hot-columns", "distribution")
"""Formats in which each label may have a column of its own."""

Share = Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)]

CARD = """\
Your own file or folder, named by `source` in the manifest. What a label cell may hold: one name; several names joined by
`separator`; a list of names; a table of names with values in 0..1, null for unknown (JSONL, Parquet); a number or several,
for a regression head; `[]`, where none of the labels holds; or nothing, where the label is not known. 3, 3.0 and "3" are one
value in every format, and a name where the labels are learned. What could mean two things (a number beside given `labels`, a
list of zeros and ones) is refused until `label_format` says how to read it.
"""


@dataclass(frozen=True)
class Table(TaskFamily):
    """One's own file: which columns hold the text, the label, a second text and the split, and how labels are written.

    Several columns in `label` are one label each (`label_format` "one-hot-columns" or "distribution"), or one dimension each
    of a regression head. `labels` is the taxonomy, in order; left out, it is learned from the training rows. `label_format`
    says what a cell holds where that is not clear: names, positions in `labels` (`indices`), a list with 0 or 1 for each of
    `labels` (`multi-hot`), or the share of each label (`distribution`). `label_names` maps values to labels, `missing` lists
    values that mean no label, and `empty` says what those and empty cells mean: `none` of the labels, `unknown` (the row is
    not trained on and not scored), or an `error`; left out, unknown, and refused where more than 5% of a split are empty.
    With `fold_case` labels are compared without case. Rows of one `id` are one item that several people labelled: `aggregate`
    takes the majority, any label that somebody gave, or the mean as a soft label; `rater` is the column that says who labelled
    a row, and is counted; rows where the column `unclear` says true have no label. `raters` is how many people the votes in
    a cell come from, or the column that says so. `columns` names the columns of a file without header, "" for one that is left
    out. `quoting` is "none" where a quote is a plain character, and "csv" where cells may hold line breaks. `validation`
    and `test` are the shares of the rows that become those splits where the file or folder has none. Texts of a `sensitive`
    table are never printed, logged, cached or reported.
    """

    name: ClassVar[str] = "table"
    text: str = "text"
    label: str | tuple[str, ...] = "label"
    pair: str | None = None
    split: str | None = None
    separator: str = "|"
    labels: tuple[str, ...] | None = None
    label_format: LabelFormat | None = None
    label_names: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str | int | float, ...] = ()
    empty: Literal["none", "unknown", "error"] | None = None
    fold_case: bool = False
    id: str | None = None
    aggregate: Literal["majority", "any", "mean"] | None = None
    rater: str | None = None
    unclear: str | None = None
    raters: Annotated[int, annotated_types.Ge(1)] | str | None = None
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
        self._check_labels()

    def _check_labels(self) -> None:
        """Options about labels that contradict each other."""
        several, form = isinstance(self.label, tuple), self.label_format
        if not self.label or (several and self.labels is not None):
            raise ValueError("`label` is one column, or several with a label or number each; `labels` goes with one column only")
        if several and form not in (None, *IN_COLUMNS):
            raise ValueError(f'`label` names several columns; label_format = "{form}" reads one')
        if not several and form == "one-hot-columns":
            raise ValueError('label_format = "one-hot-columns" needs `label = [COLUMN, ...]`, one column for each label')
        if form in ("indices", "multi-hot") and self.labels is None:
            raise ValueError(f'label_format = "{form}" needs `labels`: it tells labels by their place in that list')
        if (self.id is None) != (self.aggregate is None):
            raise ValueError("`id` and `aggregate` go together: whose rows are one item, and how they become one")
        if self.rater is not None and self.id is None:
            raise ValueError("`rater` counts who labelled an item, and `id` says which rows are one item: give both")
        strange = [name for name in self.label_names.values() if self._taxonomy is not None and name not in self._taxonomy]
        if strange:
            raise ValueError(f"`label_names` gives '{strange[0]}', which is none of the labels")

    @property
    def _columns(self) -> tuple[str, ...]:
        """The columns that `read` needs."""
        people = self.raters if isinstance(self.raters, str) else None
        more = tuple(column for column in (self.pair, self.id, self.rater, self.unclear, people) if column is not None)
        return (self.text, *self._label_columns, *more)

    @property
    def _label_columns(self) -> tuple[str, ...]:
        return (self.label,) if isinstance(self.label, str) else self.label

    @property
    def _one_hot(self) -> bool:
        """Whether each label has a column of its own."""
        return isinstance(self.label, tuple) and self.label_format is not None

    @cached_property
    def _taxonomy(self) -> Taxonomy | None:
        if self._one_hot:
            return Taxonomy([self.label_names.get(column, column) for column in self._label_columns])
        return None if self.labels is None else Taxonomy(map(LabelReader.spelled, self.labels))

    def _reader(self, head: Head) -> LabelReader | None:
        """How label cells are read for a head; None for one that takes numbers."""
        if head.answers != "labels":
            return None
        names = {key: LabelReader.spelled(name) for key, name in self.label_names.items()}
        return LabelReader(
            labels=None if self._taxonomy is None else self._taxonomy.names,
            format=self.label_format,
            separator=self.separator,
            empty=self.empty,
            names=names,
            missing=self.missing,
            fold_case=self.fold_case,
            exclusive=isinstance(head, SingleLabel),
            raters=self.raters if isinstance(self.raters, int) else None,
        )

    def read(self, row: Mapping[str, Any], reader: LabelReader | None, nothing: bool = False) -> Example:
        """One row as text, label and pair; a missing column or a text that is none is an error that names the column.

        With `nothing` the head asks for no label, and none is read.
        """
        text = _text(row, self.text)
        if text is None:
            raise EmomtlError(f"column '{self.text}' is empty", remedy="every row needs a text")
        pair = None if self.pair is None else _text(row, self.pair)
        group = None if self.id is None else _group(row, self.id)
        rater = None if self.rater is None else _group(row, self.rater)
        cells = {column: _cell(row, column) for column in self._label_columns}
        label: Any = []
        notes: tuple[str, ...] = ()
        if nothing:
            pass  # an empty label is one: the head trains on every row
        elif self.unclear is not None and (without := LabelReader.unclear(_cell(row, self.unclear))):
            label, notes = without
        elif reader is None:
            label, notes = self._numbers(cells)
        else:
            if isinstance(self.raters, str):
                reader = replace(reader, raters=_people(row, self.raters))
            label, notes = reader.read_columns(cells) if self._one_hot else reader.read(cells[self._label_columns[0]])
        return Example(text, label, pair, notes, group, rater)

    def _numbers(self, cells: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
        """The numbers of a regression head: one from each of several columns, or those in one cell."""
        plain = LabelReader(empty=self.empty, missing=self.missing)
        if isinstance(self.label, tuple):
            numbers = tuple(_number(cell, column, plain) for column, cell in cells.items())
            return (numbers, ()) if any(number is not None for number in numbers) else plain.nothing()
        cell = cells[self.label]
        if isinstance(cell, (list, tuple)):
            return [_number(item, self.label, plain) for item in cell], ()
        if plain.is_missing(cell):
            return plain.nothing(coded=True)
        if not isinstance(cell, str):
            return (cell, ()) if cell is not None and cell == cell else plain.nothing()
        parts = [part.strip() for part in cell.split(self.separator) if part.strip()]
        return (parts[0] if len(parts) == 1 else parts, ()) if parts else plain.nothing()

    def bound(self, head: Head, asked: bool) -> tuple[Task, Head]:
        """The task as it reads for a head.

        Columns of numbers could be dimensions or labels, and labels in columns one or several a text; so the manifest has to
        name the head.
        """
        if isinstance(self.label, tuple) and not asked:
            remedy = 'head = { use = "multi-label" } or "single-label"'
            if self.label_format is None:
                remedy = f'head = {{ use = "regression" }} for amounts; label_format = "one-hot-columns" and {remedy} for labels'
            raise EmomtlError("several label columns could be labels or amounts, one or several a text", remedy=remedy)
        if isinstance(self.label, tuple) and self.label_format is None and head.answers == "labels":
            remedy = 'options.label_format is "one-hot-columns" (0, 1, votes) or "distribution" (shares)'
            raise EmomtlError("several label columns, and nothing says what they hold", remedy=remedy)
        if head.answers == "numbers" and (self.label_format is not None or self.label_names or self.aggregate is not None):
            raise EmomtlError(f"a {head.kind} head has no labels", remedy="leave out label_format, label_names and aggregate")
        if head.answers == "numbers" and self.empty == "none":
            raise EmomtlError('`empty = "none"` means that no label holds', remedy='"unknown", or "error"')
        if isinstance(head, SingleLabel) and self.empty == "none":
            remedy = '"unknown", "error", or `head = { use = "multi-label" }`'
            raise EmomtlError('`empty = "none"`, and a single-label head has exactly one label a text', remedy=remedy)
        if isinstance(head, SingleLabel) and self.aggregate == "any":
            remedy = '"majority", or "mean" for soft labels'
            raise EmomtlError('`aggregate = "any"` gives several labels, and a single-label head takes one', remedy=remedy)
        if isinstance(head, MultiLabel) and self.aggregate == "mean" and self._taxonomy is None:
            remedy = "list them in `options.labels`"
            raise EmomtlError("the mean of several rows needs all labels, also those that nobody gave", remedy=remedy)
        if isinstance(head, SingleLabel) and (self.label_format == "distribution" or self.aggregate == "mean"):
            head = replace(head, soft=True)
        return self._task(head), head

    def task(self) -> Task:
        """The task, its columns named so that a file without one is refused at once.

        The head is single-label (with `multi-hot` multi-label), or a regression over several label columns, unless the
        manifest says otherwise.
        """
        if isinstance(self.label, tuple) and self.label_format is None:
            return self._task(Regression(self.label))
        return self._task(MultiLabel() if self.label_format == "multi-hot" else SingleLabel())

    def _task(self, head: Head) -> Task:
        reader = self._reader(head)
        read = partial(self.read, reader=reader, nothing=head.answers == "nothing")
        source = Files(
            "*",
            columns=self.columns or {column: column for column in self._columns},
            header=self.header,
            delimiter=self.delimiter,
            encoding=self.encoding,
            quoting=self.quoting,
            split_column=self.split,
        )
        return Task(
            self.name,
            source,
            read,
            self._taxonomy,
            head=head,
            split=Split(validation=self.validation, test=self.test),
            sensitive=self.sensitive,
            card=CARD,
            combine=None if reader is None or self.aggregate is None else partial(self._combined, reader=reader),
        )

    def _combined(self, examples: Sequence[Example], reader: LabelReader) -> Example:
        """The rows of one item as one example; their texts have to be the same."""
        first = examples[0]
        if any((one.text, one.pair) != (first.text, first.pair) for one in examples):
            raise EmomtlError("rows of one id have different texts", remedy="each item has one text; is `options.id` right?")
        assert self.aggregate is not None
        label, notes = reader.combine([one.label for one in examples], self.aggregate)
        return Example(first.text, label, first.pair, notes)


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


def _group(row: Mapping[str, Any], column: str) -> str:
    """The id of a row or of its rater; a row without one is refused."""
    group = LabelReader.spelled(_cell(row, column))
    if not group:
        remedy = "`options.id` names the column that tells items apart, `options.rater` the one that tells people apart"
        raise EmomtlError(f"column '{column}' is empty", remedy=remedy)
    return group


def _people(row: Mapping[str, Any], column: str) -> int:
    """How many people voted on a row, at least one."""
    said = LabelReader.spelled(_cell(row, column))
    if not said.isdecimal() or int(said) < 1:
        remedy = "`options.raters` is a number, or the column that has the number of people of each row"
        raise EmomtlError(f"column '{column}' holds {said!r}, not a number of people", remedy=remedy)
    return int(said)


def _number(cell: Any, column: str, plain: LabelReader) -> float | None:
    """A cell as a number, None where it is empty or a code for no number."""
    if cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()) or plain.is_missing(cell):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        raise EmomtlError(f"column '{column}' holds {cell!r}, not a number", remedy="several label columns are numbers") from None


@hookimpl
def emomtl_tasks() -> list[type[TaskFamily]]:
    """One's own file as a task."""
    return [Table]
