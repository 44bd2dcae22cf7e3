"""How a file of new texts is read: as the run's own tasks read theirs, unless the caller says otherwise."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import Files
from emomtl.data import delimited
from emomtl.data.delimiter import said_delimiter
from emomtl.data.layouts import READERS, absence, wrong_with
from emomtl.data.lines import Position, lines
from emomtl.data.source_file import KINDS, SourceFile, unread_ending
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.inference.predict.choices import Choices
from emomtl.inference.predict.columns import pair_column, text_column
from emomtl.inference.predict.layout import chosen_layout, first_rows

if TYPE_CHECKING:
    from emomtl.inference.predict.predictor import Predictor

PLAIN, PLAIN_COLUMN = ".txt", "text"
"""The ending of a file with one text a line, and what its only column is called."""

LEGACY_BLOCK = 2**20
"""Bytes of a file that are decoded at a time."""

KEY = re.compile(r'`(delimiter|encoding|quoting) = "([^"]*)"`')
"""A key of a manifest as the readers' remedies write it."""


@dataclass(frozen=True)
class TextFile:
    """A file of new texts: how it is read, its columns, and which of them hold the texts and the second texts."""

    file: SourceFile
    columns: tuple[str, ...]
    text: str
    pair: str | None
    plain: bool = False

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each row with its line (Parquet: its number), from 1."""
        try:
            rows = _plain_rows(self.file) if self.plain else READERS[self.file.kind].rows(self.file)
            for number, row in rows:
                yield number, dict(row)
        except EmomtlError as error:
            raise EmomtlError(*map(_as_flags, error.problems)) from error

    def described(self) -> str:
        """How the file is read, in one line; of a sensitive one no column is named."""
        layout, kind = self.file.layout, self.file.kind
        parts = ["one text a line"] if self.plain else []
        if not self.plain and kind == "delimited":
            parts = [f"{said_delimiter(self.file.delimiter)} between two cells", "a header" if layout.header else "no header"]
        if self.plain or kind != "parquet":
            parts.append(layout.encoding)
        if not (self.plain or layout.sensitive):
            parts.append(f"texts in '{clean(self.text)}'")
            parts += [f"second texts in '{clean(self.pair)}'"] if self.pair is not None else []
        return f"{clean(self.file.path.name)} is read with {', '.join(parts)}"


def open_texts(path: Path, predictor: Predictor, choices: Choices) -> TextFile:
    """A file of new texts, looked at as far as its first rows; an error where it can be read in two ways."""
    if reason := absence(path) or ("" if path.is_file() else f"'{clean(path.name)}' is a folder; give one file"):
        raise EmomtlError(Problem(str(path), reason, "name the file that holds the texts"))
    layout, from_run = chosen_layout(path, predictor, choices)
    plain = path.suffix.lower() == PLAIN and layout.delimiter is None
    if not plain and (reason := unread_ending(path, layout)):
        remedy = f"a text file with one text a line ends in {PLAIN}; --delimiter reads any file as a table"
        raise EmomtlError(Problem(str(path), reason, remedy))
    _check(layout)
    if choices.encoding is None and from_run and (plain or KINDS.get(path.suffix.lower()) != "parquet"):
        _refuse_two_encodings(path, layout)
    try:
        return _plain(path, layout, predictor, choices) if plain else _table(path, layout, predictor, choices)
    except EmomtlError as error:
        raise EmomtlError(*map(_as_flags, error.problems)) from error


def _check(layout: Files) -> None:
    """Refuse a delimiter or an encoding that is none."""
    plain = Files("*")
    alone = {
        "--delimiter": replace(plain, delimiter=layout.delimiter),
        "--encoding": replace(plain, encoding=layout.encoding),
    }
    for flag, part in alone.items():
        for fault in wrong_with(part):
            raise EmomtlError(Problem(flag, fault, "give another"))


def _plain(path: Path, layout: Files, predictor: Predictor, choices: Choices) -> TextFile:
    """A file with one text a line."""
    told = {"--text": choices.text, "--pair": choices.pair, "--header or --no-header": choices.header}
    for flag in (flag for flag, value in told.items() if value is not None):
        found = f"{clean(path.name)} has one text a line, and no columns"
        raise EmomtlError(Problem(flag, found, "leave it out; or --delimiter, which reads the file as a table"))
    file = SourceFile(path, layout, "predict")
    return TextFile(file, (PLAIN_COLUMN,), PLAIN_COLUMN, None, plain=True)


def _plain_rows(file: SourceFile) -> Iterator[tuple[int, dict[str, Any]]]:
    at = Position()
    for text in lines(file, "", at):
        yield at.line, {PLAIN_COLUMN: text.rstrip("\r\n")}
        at.next_row()


def _table(path: Path, layout: Files, predictor: Predictor, choices: Choices) -> TextFile:
    """A file with columns."""
    file = SourceFile(path, layout, "predict")
    if file.kind == "delimited" and not layout.header:
        file = _without_header(file, choices)
    columns = _columns(file)
    text = text_column(file, columns, predictor, choices.text)
    return TextFile(file, columns, text, pair_column(file, columns, predictor, choices.pair))


def _columns(file: SourceFile) -> tuple[str, ...]:
    """The columns of a file; of JSON Lines, whose objects may differ, those of the first rows."""
    if file.kind != "jsonl":
        return tuple(READERS[file.kind].names(file))
    return tuple(dict.fromkeys(column for row in first_rows(file) for column in row))


def _without_header(file: SourceFile, choices: Choices) -> SourceFile:
    """A file without header, with the names that the run's task gives its columns, or with numbers where it has others."""
    declared = file.layout.columns
    names: Sequence[str] = () if declared is None or isinstance(declared, Mapping) else declared
    first = delimited.first_row(file)
    if choices.header is None and tuple(first) == tuple(names):
        found = f"{clean(file.path.name)} begins with the names of the columns, and the run's task reads files without header"
        raise EmomtlError(Problem("predict", found, "--header: the row names the columns; --no-header: it is a row like others"))
    if len(first) != len(names):
        names = [str(number) for number in range(1, len(first) + 1)]
    return replace(file, layout=replace(file.layout, columns=tuple(names)))


def _refuse_two_encodings(path: Path, layout: Files) -> None:
    """Refuse a file that is whole as UTF-8 where the run's task reads a legacy encoding, in which nearly any bytes are text."""
    import codecs

    name = codecs.lookup(layout.encoding).name
    if name.startswith("utf") or name == "ascii":
        return
    decoder, plain = codecs.getincrementaldecoder("utf-8")(), True
    try:
        with path.open("rb") as stream:
            while block := stream.read(LEGACY_BLOCK):
                plain = plain and block.isascii()
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except (UnicodeDecodeError, OSError):  # no UTF-8, or unreadable, which the reader says
        return
    if not plain:
        found = f"{clean(path.name)} can be read as UTF-8 and as {layout.encoding}, which is how the run's task reads its files"
        raise EmomtlError(Problem("--encoding", found, f"--encoding utf-8, or --encoding {layout.encoding}"))


def _as_flags(problem: Problem) -> Problem:
    """The problem with the remedy in the words of this command: `--encoding cp1252` for `encoding = "cp1252"`."""
    remedy = problem.remedy.replace("give the layout's `encoding`", "give its --encoding").replace('"\\t"', '"tab"')
    return replace(problem, remedy=KEY.sub(lambda found: f"--{found[1]} {shlex.quote(found[2])}", remedy))
