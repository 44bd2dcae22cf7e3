"""A file of new texts, read as the run's tasks read theirs unless the caller says otherwise."""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import Files
from emomtl.data import delimited
from emomtl.data.delimiter import delimiter_name
from emomtl.data.layouts import READERS, absence, layout_faults, strict_rows
from emomtl.data.lines import Position, lines
from emomtl.data.source_file import KINDS, RawRow, SourceFile, unread_ending
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.inference.predict.columns import pair_column, text_column
from emomtl.inference.predict.layout import FileOptions, chosen_layout, first_rows

if TYPE_CHECKING:
    from emomtl.inference.predict.predictor import Predictor

PLAIN, PLAIN_COLUMN = ".txt", "text"
"""The ending of a file with one text a line, and the name of its only column."""

BLOCK = 2**20
"""Bytes of a file that are decoded at a time."""

KEY = re.compile(r'`(delimiter|encoding|quoting) = "([^"]*)"`')
"""A key of a manifest as the readers' remedies write it."""


@dataclass(frozen=True)
class TextFile:
    """A file of new texts: how it is read, its columns, and those with the texts and pairs."""

    file: SourceFile
    columns: tuple[str, ...]
    text: str
    pair: str | None
    plain: bool = False

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each row with its line (of Parquet its number), from 1."""
        try:
            reader = _plain_rows if self.plain else strict_rows
            for row in reader(self.file):
                yield row.number, dict(row.values)
        except EmomtlError as error:
            raise _in_flags(error) from error

    def described(self) -> str:
        """How the file is read, in one line; no column of a sensitive one is named."""
        layout, kind = self.file.layout, self.file.kind
        parts: list[str] = []
        if self.plain:
            parts.append("one text a line")
        elif kind == "delimited":
            parts.append(f"{delimiter_name(self.file.delimiter)} between two cells")
            parts.append("a header" if layout.header else "no header")
        if self.plain or kind != "parquet":
            parts.append(layout.encoding)
        if not self.plain and not layout.sensitive:
            parts.append(f"texts in '{clean(self.text)}'")
            if self.pair is not None:
                parts.append(f"second texts in '{clean(self.pair)}'")
        return f"{clean(self.file.path.name)} is read with {', '.join(parts)}"


def open_texts(path: Path, predictor: Predictor, options: FileOptions) -> TextFile:
    """A file of new texts, read as far as its first rows.

    EmomtlError where it does not read, or where it can be read in two ways.
    """
    reason = absence(path)
    if not reason and not path.is_file():
        reason = f"'{clean(path.name)}' is a folder; give one file"
    if reason:
        raise EmomtlError(Problem(str(path), reason, "name the file that holds the texts"))
    layout, from_run = chosen_layout(path, predictor, options)
    plain = path.suffix.lower() == PLAIN and layout.delimiter is None
    reason = "" if plain else unread_ending(path, layout)
    if reason:
        remedy = f"a text file with one text a line ends in {PLAIN}; "
        remedy += "--delimiter reads any file as a table"
        raise EmomtlError(Problem(str(path), reason, remedy))
    _check(layout)
    is_text = plain or KINDS.get(path.suffix.lower()) != "parquet"
    if options.encoding is None and from_run and is_text:
        _refuse_two_encodings(path, layout)
    file = SourceFile(path, layout, "predict")
    try:
        if plain:
            return _plain(file, options)
        return _table(file, predictor, options)
    except EmomtlError as error:
        raise _in_flags(error) from error


def _check(layout: Files) -> None:
    """Refuse a delimiter or an encoding that is none."""
    anything = Files("*")
    with_option = {
        "--delimiter": replace(anything, delimiter=layout.delimiter),
        "--encoding": replace(anything, encoding=layout.encoding),
    }
    for flag, changed in with_option.items():
        for fault in layout_faults(changed):
            raise EmomtlError(Problem(flag, fault, "give another"))


def _plain(file: SourceFile, options: FileOptions) -> TextFile:
    """A file with one text a line."""
    about_columns = {
        "--text": options.text,
        "--pair": options.pair,
        "--header or --no-header": options.header,
    }
    for flag, value in about_columns.items():
        if value is not None:
            finding = f"{clean(file.path.name)} has one text a line, and no columns"
            remedy = "leave it out; or --delimiter, which reads the file as a table"
            raise EmomtlError(Problem(flag, finding, remedy))
    return TextFile(file, (PLAIN_COLUMN,), PLAIN_COLUMN, None, plain=True)


def _plain_rows(file: SourceFile) -> Iterator[RawRow]:
    position = Position()
    for text in lines(file, "", position):
        yield RawRow(position.line, {PLAIN_COLUMN: text.rstrip("\r\n")})
        position.next_row()


def _table(file: SourceFile, predictor: Predictor, options: FileOptions) -> TextFile:
    """A file with columns."""
    if file.kind == "delimited" and not file.layout.header:
        file = _with_column_names(file, options)
    if file.kind == "jsonl":  # its objects may differ: all columns of the first rows
        columns = tuple(dict.fromkeys(chain.from_iterable(first_rows(file))))
    else:
        columns = tuple(READERS[file.kind].names(file))
    text = text_column(file, columns, predictor, options.text)
    return TextFile(file, columns, text, pair_column(file, columns, predictor, options.pair))


def _with_column_names(file: SourceFile, options: FileOptions) -> SourceFile:
    """A file without header, with the names that the run's task gives its columns.

    Where it has another number of columns, they are named by their numbers.
    """
    declared = file.layout.columns
    names: Sequence[str] = ()
    if declared is not None and not isinstance(declared, Mapping):
        names = declared
    first_row = delimited.first_row(file)
    if options.header is None and tuple(first_row) == tuple(names):
        finding = (
            f"{clean(file.path.name)} begins with the names of the columns, "
            "and the run's task reads files without header"
        )
        remedy = "--header: the row names the columns; --no-header: it is a row like others"
        raise EmomtlError(Problem("predict", finding, remedy))
    if len(first_row) != len(names):
        names = [str(number) for number in range(1, len(first_row) + 1)]
    return replace(file, layout=replace(file.layout, columns=tuple(names)))


def _refuse_two_encodings(path: Path, layout: Files) -> None:
    """Refuse a UTF-8 file that a run's task would read in a legacy encoding.

    Nearly any bytes are text in a legacy encoding, so reading it would not fail.
    """
    name = codecs.lookup(layout.encoding).name
    if name.startswith("utf") or name == "ascii":
        return
    decoder, is_ascii = codecs.getincrementaldecoder("utf-8")(), True
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                is_ascii = is_ascii and block.isascii()
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except (UnicodeDecodeError, OSError):  # not UTF-8, or unreadable, which the reader will say
        return
    if not is_ascii:
        finding = (
            f"{clean(path.name)} can be read as UTF-8 and as {layout.encoding}, "
            "which is how the run's task reads its files"
        )
        remedy = f"--encoding utf-8, or --encoding {layout.encoding}"
        raise EmomtlError(Problem("--encoding", finding, remedy))


def _in_flags(error: EmomtlError) -> EmomtlError:
    """The error with remedies in flags: `--encoding cp1252` for `encoding = "cp1252"`."""
    problems: list[Problem] = []
    for problem in error.problems:
        remedy = problem.remedy.replace("give the layout's `encoding`", "give its --encoding")
        remedy = remedy.replace('"\\t"', '"tab"')
        remedy = KEY.sub(lambda key: f"--{key[1]} {shlex.quote(key[2])}", remedy)
        problems.append(replace(problem, remedy=remedy))
    return EmomtlError(*problems)
