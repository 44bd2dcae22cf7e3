"""Predictions for a whole file: looked through first, then answered chunk by chunk, and written aside until it is whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.data.locate import locate
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.inference.predict.predictor import Answer, Predictor, flat, labels_only
from emomtl.inference.predict.reading import TextFile
from emomtl.inference.predict.writing import ENDINGS, as_array, mixed, write_rows

if TYPE_CHECKING:
    import pyarrow

CHUNK = 1024
"""Texts that are held in memory at a time."""

SAID_ROWS = 5
"""Rows without a text that an error names; the others are counted."""


@dataclass(frozen=True)
class Written:
    """What became of a file: its rows, how many of them have an empty text, and columns of the input that are not copied."""

    rows: int
    empty: int = 0
    left_out: tuple[str, ...] = ()


def check_out(out: Path, source: Path) -> None:
    """Refuse an output that cannot be written, or that is the input itself, under whatever name."""
    if out.suffix.lower() not in ENDINGS:
        raise EmomtlError(Problem("--out", f"'{clean(out.name)}' has no known ending", f"one of {', '.join(ENDINGS)}"))
    if out.is_dir() or not out.parent.is_dir():
        found = f"{clean(str(out), 200)} is a folder, or its folder does not exist"
        raise EmomtlError(Problem("--out", found, "name a file in an existing folder"))
    if out.exists() and source.exists() and out.samefile(source):
        found = f"{clean(str(out), 200)} is the file that is read, and would be overwritten"
        raise EmomtlError(Problem("--out", found, "name another file"))


def _refuse_rows_of_run(predictor: Predictor, out: Path) -> None:
    """Refuse an output that is a file from which the run read its rows, or the run's own record."""
    trained = predictor.trained
    files = {trained.run.folder / "metrics.jsonl": "the record of the run"}
    for name, bound in trained.plan.tasks.items():
        with suppress(EmomtlError):  # rows that are not here cannot be overwritten
            located = locate(bound.task.layouts, bound.source, trained.plan.folder, name)
            for file in (file for part in getattr(located, "files", {}).values() for file in part):
                files[getattr(file, "path", file)] = f"a file from which the run read the rows of '{name}'"
    for path, what in files.items():
        if out.exists() and path.exists() and out.samefile(path):
            found = f"{clean(str(out), 200)} is {what}, and would be overwritten"
            raise EmomtlError(Problem("--out", found, "name another file"))


def predict_file(
    predictor: Predictor,
    texts: TextFile,
    out: Path,
    keep: bool = False,
    only_labels: bool = False,
    spreadsheet_safe: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Answer for every row of a file and write another, in the same order; `progress` is told rows done, and all of them.

    With `keep` the columns of all rows of the input stand first; else nothing of the input is in the output.
    """
    check_out(out, texts.file.path)
    _refuse_rows_of_run(predictor, out)
    seen = _look_through(texts, out.suffix.lower() == ".parquet" and keep)
    answers = _answered(predictor, texts, keep, only_labels, seen.rows, progress)
    first = next(answers)
    names = list(first[1])
    doubled = set(seen.columns) & set(names) if keep else set()
    if doubled:
        found = f"the input has a column '{clean(min(doubled))}' already"
        raise EmomtlError(Problem("--out", found, "--no-keep leaves its columns out"))
    columns = [*seen.columns, *names] if keep else names
    rows = (row | answer for row, answer in _with_first(first, answers))
    try:
        _replace(out, lambda aside: write_rows(aside, out.suffix.lower(), columns, rows, spreadsheet_safe, seen.kinds))
    except OSError as error:
        raise EmomtlError(Problem(str(out), f"cannot be written: {error.strerror}", "free space, or another folder")) from error
    return Written(seen.rows, seen.empty, _not_read(texts) if keep else ())


def _replace(out: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside `out`, and give it that name when it is whole."""
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent)
    os.close(handle)
    aside = Path(name)
    try:
        write(aside)
        mask = os.umask(0)
        os.umask(mask)
        aside.chmod(0o666 & ~mask)  # mkstemp makes files that only their owner reads
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)


def _with_first(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


@dataclass
class _Seen:
    """What a first pass over a file found: rows, empty texts, all columns in their order, and their types in Parquet."""

    rows: int = 0
    empty: int = 0
    columns: dict[str, None] = field(default_factory=dict)
    kinds: dict[str, pyarrow.DataType] = field(default_factory=dict)
    kinds_known: bool = False


def _look_through(texts: TextFile, typed: bool) -> _Seen:
    """One pass over a file before the model reads a word: every row must have a text, and the columns of all rows are known."""
    seen, bad, wrong = _Seen(), [], ""
    if typed and texts.file.kind == "parquet":
        import pyarrow.parquet

        schema = pyarrow.parquet.read_schema(texts.file.path)
        seen.kinds, seen.kinds_known = {one.name: one.type for one in schema}, True
    rows = texts.rows()
    while chunk := list(islice(rows, CHUNK)):
        for number, row in chunk:
            seen.rows += 1
            for column, kind in ((texts.text, "text"), (texts.pair, "second text")):
                cell = "" if column is None else row.get(column)
                if isinstance(cell, str) or (cell is None and kind == "second text"):
                    continue
                bad.append(number)
                wrong = wrong or f"no {kind}: '{clean(column or '')}' is {'null' if cell is None else type(cell).__name__}"
            seen.empty += row.get(texts.text) == ""
            seen.columns |= dict.fromkeys(row)
        if typed and not seen.kinds_known:
            _add_kinds(seen, [row for _, row in chunk])
    if bad:
        listed = ", ".join(map(str, bad[:SAID_ROWS])) + (f" and {len(bad) - SAID_ROWS:,} more" if len(bad) > SAID_ROWS else "")
        place = "row" if texts.file.kind == "parquet" and not texts.plain else "line"
        found = f"{len(bad):,} of {seen.rows:,} rows have {wrong} ({place} {listed})"
        raise EmomtlError(Problem("predict", found, "give each row a text, or leave it out of the file", str(texts.file.path)))
    if not seen.rows:
        raise EmomtlError(Problem("predict", "the input has no rows", "name a file with texts", str(texts.file.path)))
    return seen


def _add_kinds(seen: _Seen, rows: Sequence[dict[str, Any]]) -> None:
    """Take the types of some rows into those of the columns: numbers with and without fraction are one type, null is any."""
    import pyarrow

    for column in seen.columns:
        kind = as_array(column, [row.get(column) for row in rows]).type
        if (before := seen.kinds.get(column)) is not None and before != kind:
            schemas = [pyarrow.schema([(column, one)]) for one in (before, kind)]
            try:
                kind = pyarrow.unify_schemas(schemas, promote_options="permissive").field(0).type
            except pyarrow.ArrowException as error:
                raise mixed(column) from error
        seen.kinds[column] = kind


def _not_read(texts: TextFile) -> tuple[str, ...]:
    """The columns of a Parquet file that are not read, since they hold structs or maps."""
    if texts.plain or texts.file.kind != "parquet":
        return ()
    import pyarrow.parquet

    return tuple(name for name in pyarrow.parquet.read_schema(texts.file.path).names if name not in texts.columns)


def _answered(
    predictor: Predictor,
    texts: TextFile,
    keep: bool,
    only_labels: bool,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The columns of each row that are kept, and its answers, chunk by chunk."""
    rows, done = texts.rows(), 0
    while chunk := [row for _, row in islice(rows, CHUNK)]:
        first = [cell for row in chunk if isinstance(cell := row.get(texts.text), str)]
        if len(first) < len(chunk):  # every row had a text when the file was looked through
            found = "it was changed while it was read"
            raise EmomtlError(Problem("predict", found, "run the command again", str(texts.file.path)))
        second = None if texts.pair is None else [row.get(texts.pair) or "" for row in chunk]
        answers: list[Answer] = predictor(first, second)
        done += len(chunk)
        if progress is not None:
            progress(done, total)
        for row, answer in zip(chunk, answers, strict=True):
            yield row if keep else {}, dict(flat(labels_only(answer) if only_labels else answer))
