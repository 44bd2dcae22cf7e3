"""The task family `table`: your own CSV, TSV, JSONL or Parquet file as a task, without Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

ReadLabel = tuple[Any, tuple[str, ...]]
"""A label value, and notes on how it was read."""

Share = Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)]

CARD = """\
Your own file or folder, named by `source` in the manifest. What a label cell may hold: one name;
several names joined by `separator`; a list of names; a table of names with values in 0..1, null for
unknown (JSONL, Parquet); a number or several, for a regression head; `[]`, where none of the labels
holds; or nothing, where the label is not known. 3, 3.0 and "3" are one value in every format, and a
name where the labels are learned. What could mean two things (a number beside given `labels`, a
list of zeros and ones) is refused until `label_format` says how to read it.
"""


@dataclass(frozen=True)
class Table(TaskFamily):
    """Your own file: which columns hold the text, the label, a second text and the split.

    - `text`, `label`, `pair` and `split` name columns. Several columns in `label` are one label
      each (`label_format` "one-hot-columns" or "distribution"), or one dimension each of a
      regression head.
    - `labels` is the taxonomy, in order; left out, it is learned from the training rows.
    - `label_format` says what a cell holds where that is not clear: `names`, positions in `labels`
      (`indices`), a list with 0 or 1 for each of `labels` (`multi-hot`), or the share of each label
      (`distribution`). `separator` stands between labels. With `fold_case` labels are compared
      without case.
    - `label_names` maps values to labels, `missing` lists values that mean no label, and `empty`
      says what those and empty cells mean: `none` of the labels, `unknown` (the row is not trained
      on and not scored), or an `error`. Left out, they mean unknown, and are refused where more
      than 5% of a split are empty.
    - Rows of one `id` are one item that several people labelled: `aggregate` takes the majority,
      any label that somebody gave, or the mean as a soft label. `rater` is the column that says who
      labelled a row, and is counted. Rows where the column `unclear` says true have no label.
      `raters` is how many people the votes in a cell come from, or the column that says so.
    - `columns` names the columns of a file without `header`, "" for one that is left out.
      `delimiter` and `encoding` are those of the file. `quoting` is "none" where a quote is a plain
      character, and "csv" where cells may hold line breaks.
    - `validation` and `test` are the shares of the rows that become those splits where the file or
      folder has none.
    - Texts of a `sensitive` table are never printed, logged, cached or reported.
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
        for contradictions in (self._file_contradictions(), self._label_contradictions()):
            for contradiction in contradictions:
                raise ValueError(contradiction)

    def _file_contradictions(self) -> Iterator[str]:
        """What is wrong with the options about the file."""
        if self.header == (self.columns is not None):
            columns = "`columns` names the columns of a file without header"
            yield f"{columns}: give it together with `header = false`"
        for column in self._columns:
            if self.columns is not None and column not in self.columns:
                yield f"`columns` has no '{column}'; give every column of the file, in order"
        if not self.separator:
            yield "`separator` is empty; give the text that stands between two labels, such as '|'"
        if self.validation + self.test >= 1:
            shares = f"validation = {self.validation} and test = {self.test}"
            yield f"{shares} leave no rows to train on"

    def _label_contradictions(self) -> Iterator[str]:
        """What is wrong with the options about labels and raters."""
        several, form = isinstance(self.label, tuple), self.label_format
        if not self.label or (several and self.labels is not None):
            one = "`label` is one column, or several with a label or number each"
            yield f"{one}; `labels` goes with one column only"
        if several and form not in (None, *IN_COLUMNS):
            yield f'`label` names several columns; label_format = "{form}" reads one'
        if not several and form == "one-hot-columns":
            needs = 'label_format = "one-hot-columns" needs `label = [COLUMN, ...]`'
            yield f"{needs}, one column for each label"
        if form in ("indices", "multi-hot") and self.labels is None:
            needs = f'label_format = "{form}" needs `labels`'
            yield f"{needs}: it tells labels by their place in that list"
        if (self.id is None) != (self.aggregate is None):
            pair = "`id` and `aggregate` go together"
            yield f"{pair}: whose rows are one item, and how they become one"
        if self.rater is not None and self.id is None:
            rater = "`rater` counts who labelled an item"
            yield f"{rater}, and `id` says which rows are one item: give both"
        for name in self.label_names.values():
            if self._taxonomy is not None and name not in self._taxonomy:
                yield f"`label_names` gives '{name}', which is none of the labels"

    @property
    def _columns(self) -> tuple[str, ...]:
        """The columns that `read` needs."""
        raters = self.raters if isinstance(self.raters, str) else None
        optional = (self.pair, self.id, self.rater, self.unclear, raters)
        named = [column for column in optional if column is not None]
        return (self.text, *self._label_columns, *named)

    @property
    def _label_columns(self) -> tuple[str, ...]:
        return (self.label,) if isinstance(self.label, str) else self.label

    @property
    def _has_column_for_each_label(self) -> bool:
        return isinstance(self.label, tuple) and self.label_format is not None

    @cached_property
    def _taxonomy(self) -> Taxonomy | None:
        if self._has_column_for_each_label:
            columns = self._label_columns
            return Taxonomy([self.label_names.get(column, column) for column in columns])
        return None if self.labels is None else Taxonomy(map(LabelReader.spelled, self.labels))

    def _reader(self, head: Head) -> LabelReader | None:
        """How label cells are read for a head; None for one without labels."""
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

    def read(
        self, row: Mapping[str, Any], reader: LabelReader | None, nothing: bool = False
    ) -> Example:
        """One row as text, label and pair.

        `reader` is None for numbers. With `nothing` the head needs no label, and none is read.
        """
        text = _text(row, self.text)
        if text is None:
            problem = f"column '{self.text}' is empty"
            raise EmomtlError(problem, remedy="every row needs a text")
        pair = None if self.pair is None else _text(row, self.pair)
        group = None if self.id is None else _identity(row, self.id)
        rater = None if self.rater is None else _identity(row, self.rater)
        if nothing:  # an empty list is a label, so the head trains on the row
            return Example(text, [], pair, (), group, rater)
        label, notes = self._label(row, reader)
        return Example(text, label, pair, notes, group, rater)

    def _label(self, row: Mapping[str, Any], reader: LabelReader | None) -> ReadLabel:
        cells = {column: _cell(row, column) for column in self._label_columns}
        if self.unclear is not None:
            without_label = LabelReader.unclear(_cell(row, self.unclear))
            if without_label is not None:
                return without_label
        if reader is None:
            return self._numbers(cells)
        if isinstance(self.raters, str):
            reader = replace(reader, raters=_rater_count(row, self.raters))
        if self._has_column_for_each_label:
            return reader.read_columns(cells)
        return reader.read(cells[self._label_columns[0]])

    def _numbers(self, cells: Mapping[str, Any]) -> ReadLabel:
        """The numbers of a regression head: one from each column, or those in one cell."""
        reader = LabelReader(empty=self.empty, missing=self.missing)
        if isinstance(self.label, tuple):
            numbers = tuple(_number(cell, column, reader) for column, cell in cells.items())
            known = any(number is not None for number in numbers)
            return (numbers, ()) if known else reader.nothing()
        cell = cells[self.label]
        if isinstance(cell, (list, tuple)):
            return [_number(item, self.label, reader) for item in cell], ()
        if reader.is_missing(cell):
            return reader.nothing(coded=True)
        if not isinstance(cell, str):
            is_nothing = cell is None or cell != cell  # NaN
            return reader.nothing() if is_nothing else (cell, ())
        pieces = [piece.strip() for piece in cell.split(self.separator)]
        parts = [piece for piece in pieces if piece]
        if not parts:
            return reader.nothing()
        return (parts[0] if len(parts) == 1 else parts), ()

    def bound(self, head: Head, asked: bool) -> tuple[Task, Head]:
        """The task as it reads for a head.

        Columns of numbers could be dimensions or labels, and labels in columns one or several a
        text, so the manifest then has to name the head.
        """
        self._check_columns(head, asked)
        self._check_head(head)
        soft = self.label_format == "distribution" or self.aggregate == "mean"
        if isinstance(head, SingleLabel) and soft:
            head = replace(head, soft=True)
        return self._task(head), head

    def _check_columns(self, head: Head, asked: bool) -> None:
        """Refuse several label columns of which nothing says what they hold."""
        if isinstance(self.label, str):
            return
        if not asked:
            problem = "several label columns could be labels or amounts, one or several a text"
            remedy = 'head = { use = "multi-label" } or "single-label"'
            if self.label_format is None:
                remedy = f'label_format = "one-hot-columns" and {remedy} for labels'
                remedy = f'head = {{ use = "regression" }} for amounts; {remedy}'
            raise EmomtlError(problem, remedy=remedy)
        if self.label_format is None and head.answers == "labels":
            problem = "several label columns, and nothing says what they hold"
            remedy = 'options.label_format is "one-hot-columns" (0, 1, votes) or '
            remedy += '"distribution" (shares)'
            raise EmomtlError(problem, remedy=remedy)

    def _check_head(self, head: Head) -> None:
        """Refuse options that do not go with the head."""
        about_labels = self.label_format or self.label_names or self.aggregate
        problem = ""
        if head.answers == "numbers" and about_labels:
            problem = f"a {head.kind} head has no labels"
            remedy = "leave out label_format, label_names and aggregate"
        elif head.answers == "numbers" and self.empty == "none":
            problem, remedy = '`empty = "none"` means that no label holds', '"unknown", or "error"'
        elif isinstance(head, SingleLabel) and self.empty == "none":
            problem = '`empty = "none"`, and a single-label head has exactly one label a text'
            remedy = '"unknown", "error", or `head = { use = "multi-label" }`'
        elif isinstance(head, SingleLabel) and self.aggregate == "any":
            problem = '`aggregate = "any"` gives several labels, and a single-label head takes one'
            remedy = '"majority", or "mean" for soft labels'
        elif isinstance(head, MultiLabel) and self.aggregate == "mean" and not self._taxonomy:
            problem = "the mean of several rows needs all labels, also those that nobody gave"
            remedy = "list them in `options.labels`"
        if problem:
            raise EmomtlError(problem, remedy=remedy)

    def task(self) -> Task:
        """The task, its columns named so that a file without one is refused at once.

        Unless the manifest names a head, it is single-label (with `multi-hot` multi-label), or a
        regression over several label columns.
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
            combine=(
                None
                if reader is None or self.aggregate is None
                else partial(self._combined, reader=reader)
            ),
        )

    def _combined(self, examples: Sequence[Example], reader: LabelReader) -> Example:
        """The rows of one item as one example; their texts have to be the same."""
        first = examples[0]
        if any((other.text, other.pair) != (first.text, first.pair) for other in examples):
            problem = "rows of one id have different texts"
            raise EmomtlError(problem, remedy="each item has one text; is `options.id` right?")
        assert self.aggregate is not None
        label, notes = reader.combine([example.label for example in examples], self.aggregate)
        return Example(first.text, label, first.pair, notes)


def _cell(row: Mapping[str, Any], column: str) -> Any:
    """The cell of a column; where the row has no such column, an error that lists those it has."""
    if column not in row:
        remedy = f"columns: {', '.join(map(str, row))}"
        raise EmomtlError(f"there is no column '{column}'", remedy=remedy)
    return row[column]


def _text(row: Mapping[str, Any], column: str) -> str | None:
    """The text of a column, or None; anything else is refused."""
    cell = _cell(row, column)
    if cell is not None and not isinstance(cell, str):
        problem = f"column '{column}' holds {type(cell).__name__}, not a text"
        raise EmomtlError(problem, remedy="name the column that holds texts")
    return cell


def _identity(row: Mapping[str, Any], column: str) -> str:
    """The id of a row or of its rater; a row without one is refused."""
    identity = LabelReader.spelled(_cell(row, column))
    if not identity:
        remedy = "`options.id` names the column that tells items apart, "
        remedy += "`options.rater` the one that tells people apart"
        raise EmomtlError(f"column '{column}' is empty", remedy=remedy)
    return identity


def _rater_count(row: Mapping[str, Any], column: str) -> int:
    """How many people voted on a row, at least one."""
    count = LabelReader.spelled(_cell(row, column))
    if not count.isdecimal() or int(count) < 1:
        problem = f"column '{column}' holds {count!r}, not a number of people"
        remedy = "`options.raters` is a number, "
        remedy += "or the column that has the number of people of each row"
        raise EmomtlError(problem, remedy=remedy)
    return int(count)


def _number(cell: Any, column: str, reader: LabelReader) -> float | None:
    """A cell as a number, None where it is empty or a code for no number."""
    is_empty = isinstance(cell, str) and not cell.strip()
    if cell is None or cell != cell or is_empty or reader.is_missing(cell):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        problem = f"column '{column}' holds {cell!r}, not a number"
        raise EmomtlError(problem, remedy="several label columns are numbers") from None


@hookimpl
def emomtl_tasks() -> list[type[TaskFamily]]:
    return [Table]
