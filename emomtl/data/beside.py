"""What stands beside the files of a source and is not read: other files, and a column of splits."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.contracts.sources import known_split_names, split_named
from emomtl.data.source_file import KINDS, PACKED, SourceFile
from emomtl.errors import EmomtlError, clean

if TYPE_CHECKING:
    from emomtl.contracts.sources import Files
    from emomtl.data.layouts import SplitFiles

MOST_NAMED = 8
"""Files that a note names; the others are counted."""

SPLIT_COLUMNS = ("split", "fold", "partition", "subset", "set")
"""What people call the column that tells the splits."""

SINGLE_BYTES = ("latin", "iso-8859", "iso8859", "cp125", "windows-125", "l1")
"""How encodings begin in which any bytes are a text."""

MOST_BYTES = 2**20
"""Bytes of a file that tell its encoding."""

UNREAD = (*KINDS, *PACKED, ".json", ".xlsx", ".xls", ".arrow", ".feather")
"""Endings of files that hold rows, whether emomtl reads them or not."""


def unread_notes(files: SplitFiles, layout: Files) -> list[str]:
    """Notes about what stands beside the files of a source. Only names are shown, and no cell."""
    paths = [file.path for parts in files.values() for file in parts]
    notes = []
    for parts in files.values():
        for file in parts:
            if note := _encoding_note(file):
                notes.append(note)
    if "all" in files:
        return notes + _split_siblings(paths, layout) + _split_column(files, layout)
    return notes + _other_files(files, paths, layout)


def _other_files(files: SplitFiles, paths: list[Path], layout: Files) -> list[str]:
    """Files beside those of the splits."""
    others = _others({path.parent for path in paths}, paths)
    if layout.splits is not None:
        # The plugin knows its files; only what looks like a split that it lacks is said.
        others = [path for path in others if _name_and_split(path)[1] not in ("", *files)]
    if not others:
        return []
    note = f"files beside {_named(paths)} that are not read: {_named(others)}"
    return [f"{note} (a split is called {known_split_names()})"]


def _encoding_note(file: SourceFile) -> str:
    """A note for a file that is read in an encoding of single bytes, and that is whole UTF-8."""
    encoding = file.layout.encoding.lower().replace("_", "-")
    if file.kind == "parquet" or not encoding.startswith(SINGLE_BYTES):
        return ""
    try:
        with file.path.open("rb") as stream:
            head = stream.read(MOST_BYTES)
        decoder = codecs.getincrementaldecoder("utf-8")()
        text = decoder.decode(head, final=len(head) < MOST_BYTES)
    except (OSError, UnicodeDecodeError):
        return ""
    if text.isascii():
        return ""
    remedy = '`encoding = "utf-8"`, or "é" is read as "Ã©"'
    return f"{clean(file.path.name)} is read as {encoding} and looks like UTF-8 ({remedy})"


def _split_siblings(paths: list[Path], layout: Files) -> list[str]:
    """The files of other splits beside a single file: `test.csv` beside `train.csv`."""
    if len(paths) != 1 or layout.split_column is not None:
        return []
    name, split = _name_and_split(paths[0])
    siblings = []
    for other in _others({paths[0].parent}, paths):
        other_name, other_split = _name_and_split(other)
        if other_name == name and other_split not in ("", split):
            siblings.append(other)
    if not siblings:
        return []
    remedy = "name the folder to read each split from its own file"
    beside = f"beside {clean(paths[0].name)} stand files that are not read"
    return [f"{beside}: {_named(siblings)} ({remedy})"]


def _split_column(files: SplitFiles, layout: Files) -> list[str]:
    """Columns that tell the splits, by name and first row, where the layout names none."""
    from emomtl.data.layouts import READERS, strict_rows

    if layout.split_column is not None:
        return []
    file = files["all"][0]
    try:
        # The names first: a large Parquet file has them in its footer.
        named = [
            name for name in READERS[file.kind].names(file) if name.strip().lower() in SPLIT_COLUMNS
        ]
        row = next(strict_rows(file), None) if named else None
    except EmomtlError:  # an error of the file is raised where its rows are read
        return []
    columns = []
    for name in named:
        cell = row.values.get(name) if row is not None else None
        if isinstance(cell, str) and split_named(cell):
            columns.append(name)
    if not columns:
        return []
    remedy = f'`split = "{columns[0]}"` of `table`, or `split_column` of a layout, reads it'
    return [f"the column '{name}' tells splits and is not asked ({remedy})" for name in columns]


def _others(folders: set[Path], read: list[Path]) -> list[Path]:
    """Files that hold rows, and folders called like a split, beside those that are read."""
    others: list[Path] = []
    for folder in sorted(folders):
        try:
            paths = sorted(folder.iterdir())
        except OSError:  # a folder whose files can be read but not listed
            continue
        for path in paths:
            is_hidden = path.name.startswith(".")
            holds_rows = path.suffix.lower() in UNREAD and not is_hidden and os.path.isfile(path)
            is_split = split_named(path.name) is not None and os.path.isdir(path)
            if path not in read and (holds_rows or is_split):
                others.append(path)
    return others


def _name_and_split(path: Path) -> tuple[str, str]:
    """A file's name without the word that names a split, and that split.

    `isear_train.csv` is `isear` of `train`. The split is empty where no or several words name one.
    """
    words, splits = [], []
    for word in re.findall(r"[a-z0-9]+", path.name.split(".")[0].lower()):
        if (split := split_named(word)) is None:
            words.append(word)
        else:
            splits.append(split)
    return "-".join(words), splits[0] if len(splits) == 1 else ""


def _named(paths: list[Path]) -> str:
    shown = ", ".join(clean(path.name) for path in paths[:MOST_NAMED])
    more = len(paths) - MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
