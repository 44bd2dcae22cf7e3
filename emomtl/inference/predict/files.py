"""Predictions for a whole file, which is checked first, then predicted in chunks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.data.locate import locate
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.inference.predict.predictor import Predictor, flat, labels_only
from emomtl.inference.predict.reading import TextFile
from emomtl.inference.predict.writing import ENDINGS, as_array, mixed_types, write_rows

if TYPE_CHECKING:
    import pyarrow

CHUNK = 1024
"""Texts that are held in memory at a time."""

LISTED_ROWS = 5
"""Rows without a text that an error names; the others are counted."""


@dataclass(frozen=True)
class Output:
    """Where predictions go, and what is written.

    With `keep` the columns of the input stand first. `only_labels` leaves probabilities out.
    `spreadsheet_safe` is explained at `write_rows`. `progress` hears of rows done, and of all.
    """

    path: Path
    keep: bool = False
    only_labels: bool = False
    spreadsheet_safe: bool = False
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Written:
    """What was written: rows, those with an empty text, and columns of the input left out."""

    rows: int
    empty: int = 0
    left_out: tuple[str, ...] = ()


def predict_file(predictor: Predictor, texts: TextFile, output: Output) -> Written:
    """Predict every row of a file and write another, in the same order."""
    out = output.path
    check_out(out, texts.file.path)
    _refuse_rows_of_run(predictor, out)
    ending = out.suffix.lower()
    scan = _scan(texts, typed=ending == ".parquet" and output.keep)
    rows = _predicted_rows(predictor, texts, output, scan.rows)
    # the first chunk is predicted before the output is opened: it tells the columns
    first_kept, first_predicted = next(rows)
    names = list(first_predicted)
    columns = names
    if output.keep:
        columns = [*scan.columns, *names]
    if len(set(columns)) < len(columns):
        finding = f"the input has a column '{clean(min(set(scan.columns) & set(names)))}' already"
        raise EmomtlError(Problem("--out", finding, "--no-keep leaves its columns out"))
    all_rows = chain([(first_kept, first_predicted)], rows)
    joined = (kept | predicted for kept, predicted in all_rows)
    try:
        with _replacing(out) as aside:
            write_rows(aside, ending, columns, joined, output.spreadsheet_safe, scan.types)
    except OSError as error:
        finding = f"cannot be written: {error.strerror}"
        raise EmomtlError(Problem(str(out), finding, "free space, or another folder")) from error
    return Written(scan.rows, scan.empty, _unread_columns(texts) if output.keep else ())


def check_out(out: Path, source: Path) -> None:
    """Refuse an output that cannot be written, or that is the input, under whatever name."""
    if out.suffix.lower() not in ENDINGS:
        finding = f"'{clean(out.name)}' has no known ending"
        raise EmomtlError(Problem("--out", finding, f"one of {', '.join(ENDINGS)}"))
    if out.is_dir() or not out.parent.is_dir():
        finding = f"{clean(str(out), 200)} is a folder, or its folder does not exist"
        raise EmomtlError(Problem("--out", finding, "name a file in an existing folder"))
    _refuse_same_file(out, source, "the file that is read")


def _refuse_rows_of_run(predictor: Predictor, out: Path) -> None:
    """Refuse an output that is the run's record, or a file from which it read its rows."""
    run, plan = predictor.trained.run, predictor.trained.plan
    _refuse_same_file(out, run.folder / "metrics.jsonl", "the record of the run")
    for name, bound in plan.tasks.items():
        try:
            located = locate(bound.task.layouts, bound.source, plan.folder, name)
        except EmomtlError:  # rows that are not on this machine cannot be overwritten
            continue
        for files in getattr(located, "files", {}).values():
            for file in files:
                path = getattr(file, "path", file)
                _refuse_same_file(out, path, f"a file from which the run read the rows of '{name}'")


def _refuse_same_file(out: Path, path: Path, what: str) -> None:
    if out.exists() and path.exists() and out.samefile(path):
        finding = f"{clean(str(out), 200)} is {what}, and would be overwritten"
        raise EmomtlError(Problem("--out", finding, "name another file"))


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A file beside `out` to write into; it gets that name once it is complete."""
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        # mkstemp makes files that only their owner reads: give the usual permissions
        mask = os.umask(0)
        os.umask(mask)
        aside.chmod(0o666 & ~mask)
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)


@dataclass
class _Scan:
    """What a first pass over a file found; `types` are its columns' types in Parquet."""

    rows: int = 0
    empty: int = 0
    columns: dict[str, None] = field(default_factory=dict)
    types: dict[str, pyarrow.DataType] = field(default_factory=dict)
    without_text: list[int] = field(default_factory=list)
    first_fault: str = ""

    def add(self, number: int, row: Mapping[str, Any], texts: TextFile) -> None:
        """Count a row, and see whether it has its texts; a second text may be null."""
        self.rows += 1
        self.empty += row.get(texts.text) == ""
        self.columns |= dict.fromkeys(row)
        text = row.get(texts.text)
        pair = None if texts.pair is None else row.get(texts.pair)
        if not isinstance(text, str):
            self._fault(number, f"no text: '{clean(texts.text)}'", text)
        if pair is not None and not isinstance(pair, str):
            self._fault(number, f"no second text: '{clean(texts.pair or '')}'", pair)

    def _fault(self, number: int, finding: str, cell: Any) -> None:
        self.without_text.append(number)
        kind = "null" if cell is None else type(cell).__name__
        self.first_fault = self.first_fault or f"{finding} is {kind}"


def _scan(texts: TextFile, typed: bool) -> _Scan:
    """One pass over a file before anything is predicted.

    Every row must have a text, and the columns of all rows become known, with their types where
    `typed`.
    """
    scan, path = _Scan(), texts.file.path
    has_schema = typed and texts.file.kind == "parquet"
    if has_schema:
        import pyarrow.parquet

        scan.types = {column.name: column.type for column in pyarrow.parquet.read_schema(path)}
    rows = texts.rows()
    while chunk := list(islice(rows, CHUNK)):
        for number, row in chunk:
            scan.add(number, row, texts)
        if typed and not has_schema:
            _add_types(scan, chunk)
    if scan.without_text:
        raise EmomtlError(Problem("predict", _faults(scan, texts), REMEDY, str(path)))
    if not scan.rows:
        finding, remedy = "the input has no rows", "name a file with texts"
        raise EmomtlError(Problem("predict", finding, remedy, str(path)))
    return scan


REMEDY = "give each row a text, or leave it out of the file"


def _faults(scan: _Scan, texts: TextFile) -> str:
    """How many rows have no text, and which the first are."""
    numbers = scan.without_text
    listed = ", ".join(map(str, numbers[:LISTED_ROWS]))
    if len(numbers) > LISTED_ROWS:
        listed += f" and {len(numbers) - LISTED_ROWS:,} more"
    place = "row" if texts.file.kind == "parquet" and not texts.plain else "line"
    counted = f"{len(numbers):,} of {scan.rows:,} rows have {scan.first_fault}"
    return f"{counted} ({place} {listed})"


def _add_types(scan: _Scan, chunk: Sequence[tuple[int, dict[str, Any]]]) -> None:
    """Join the types of some rows with those of the rows before.

    Numbers with and without fraction are one type, and null is any.
    """
    import pyarrow

    for column in scan.columns:
        new_type = as_array(column, [row.get(column) for _, row in chunk]).type
        old_type = scan.types.get(column, new_type)
        if old_type != new_type:
            # pyarrow joins types only as those of schemas
            old, new = pyarrow.schema([(column, old_type)]), pyarrow.schema([(column, new_type)])
            try:
                joined = pyarrow.unify_schemas([old, new], promote_options="permissive")
            except pyarrow.ArrowException as error:
                raise mixed_types(column) from error
            new_type = joined.field(0).type
        scan.types[column] = new_type


def _unread_columns(texts: TextFile) -> tuple[str, ...]:
    """The columns of a Parquet file that are not read, as they hold structs or maps."""
    if texts.plain or texts.file.kind != "parquet":
        return ()
    import pyarrow.parquet

    names = pyarrow.parquet.read_schema(texts.file.path).names
    return tuple(name for name in names if name not in texts.columns)


def _predicted_rows(
    predictor: Predictor, texts: TextFile, output: Output, total: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """For each row the columns that are kept, and those of its prediction."""
    rows, done = texts.rows(), 0
    while chunk := list(islice(rows, CHUNK)):
        first_texts: list[str] = []
        second_texts: list[str] = []
        for _, row in chunk:
            text = row.get(texts.text)
            if not isinstance(text, str):  # every row had a text in the first pass
                finding, remedy = "it was changed while it was read", "run the command again"
                raise EmomtlError(Problem("predict", finding, remedy, str(texts.file.path)))
            first_texts.append(text)
            if texts.pair is not None:
                second_texts.append(row.get(texts.pair) or "")
        predictions = predictor(first_texts, second_texts or None)
        done += len(chunk)
        if output.progress is not None:
            output.progress(done, total)
        for (_, row), prediction in zip(chunk, predictions, strict=True):
            shown = labels_only(prediction) if output.only_labels else prediction
            yield row if output.keep else {}, dict(flat(shown))
