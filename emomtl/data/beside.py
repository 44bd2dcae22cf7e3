"""What stands beside the files of a source and is not read: other files, and a column that tells the splits."""

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
    from emomtl.data.layouts import Found

MOST_NAMED = 8
"""Files that a note names; the rest is counted."""

SPLIT_COLUMNS = ("split", "fold", "partition", "subset", "set")
"""What people call the column that tells the splits."""

SINGLE_BYTES = ("latin", "iso-8859", "iso8859", "cp125", "windows-125", "l1")

MOST_BYTES = 2**20
"""Bytes of a file that tell its encoding."""

UNREAD = (*KINDS, *PACKED, ".json", ".xlsx", ".xls", ".arrow", ".feather")
"""Endings of files that hold rows, whether emomtl reads them or not."""


def unread(files: Found, layout: Files) -> list[str]:
    """Notes about what stands beside the files of a source and is not read. Only names are said, and no cell."""
    read = [file.path for found in files.values() for file in found]
    encoded = [note for found in files.values() for file in found if (note := _doubtful_encoding(file))]
    if "all" in files:
        return encoded + _beside_one(read, layout) + _split_column(files, layout)
    return encoded + _in_folder(files, read, layout)


def _in_folder(files: Found, read: list[Path], layout: Files) -> list[str]:
    """Files beside those of the splits."""
    others = _others({path.parent for path in read}, read)
    if layout.splits is not None:  # the plugin knows its files; what looks like a split that it lacks is said all the same
        others = [path for path in others if _parts(path)[1] not in ("", *files)]
    if not others:
        return []
    shown = _named(others)
    return [f"files beside {_named(read)} that are not read: {shown} (a split is called {known_split_names()})"]


def _doubtful_encoding(file: SourceFile) -> str:
    """A file that is read in an encoding of single bytes, in which any bytes are a text, and that is whole UTF-8."""
    encoding = file.layout.encoding.lower().replace("_", "-")
    if file.kind == "parquet" or not encoding.startswith(SINGLE_BYTES):
        return ""
    try:
        with file.path.open("rb") as stream:
            head = stream.read(MOST_BYTES)
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < MOST_BYTES)
    except (OSError, UnicodeDecodeError):
        return ""
    if text.isascii():
        return ""
    remedy = '`encoding = "utf-8"`, or "é" is read as "Ã©"'
    return f"{clean(file.path.name)} is read as {encoding} and looks like UTF-8 ({remedy})"


def _beside_one(read: list[Path], layout: Files) -> list[str]:
    """A single file that is called like a split, or has a sibling that is: `train.csv` beside `test.csv`."""
    if len(read) != 1 or layout.split_column is not None:
        return []
    name, split = _parts(read[0])
    siblings = [
        other for other in _others({read[0].parent}, read) if _parts(other)[0] == name and _parts(other)[1] not in ("", split)
    ]
    if not siblings:
        return []
    remedy = "name the folder to read each split from its own file"
    return [f"beside {clean(read[0].name)} stand files that are not read: {_named(siblings)} ({remedy})"]


def _split_column(files: Found, layout: Files) -> list[str]:
    """A column that tells the splits, by its name and the first row, where the layout asks for none."""
    from emomtl.data.layouts import READERS

    if layout.split_column is not None:
        return []
    file = files["all"][0]
    try:  # the names first: of a large Parquet file they are there at once
        named = [name for name in READERS[file.kind].names(file) if name.strip().lower() in SPLIT_COLUMNS]
        _, first = next(READERS[file.kind].rows(file), (0, {})) if named else (0, {})
    except EmomtlError:  # what is wrong with the file is said where its rows are read
        return []
    columns = [name for name in named if isinstance(cell := first.get(name), str) and split_named(cell)]
    remedy = f'`split = "{columns[0]}"` of `table`, or `split_column` of a layout, reads it' if columns else ""
    return [f"the column '{name}' tells splits and is not asked ({remedy})" for name in columns]


def _others(folders: set[Path], read: list[Path]) -> list[Path]:
    """Files that hold rows, and folders that are called like a split, beside those that are read."""
    found: list[Path] = []
    for folder in sorted(folders):
        try:
            entries = sorted(folder.iterdir())
        except OSError:  # a folder whose files can be read but not listed
            continue
        for path in entries:
            is_rows = path.suffix.lower() in UNREAD and not path.name.startswith(".") and os.path.isfile(path)
            is_split = split_named(path.name) is not None and os.path.isdir(path)
            if path not in read and (is_rows or is_split):
                found.append(path)
    return found


def _parts(path: Path) -> tuple[str, str]:
    """A file's name without the word that names a split, and that split: `isear_train.csv` is `isear` of `train`."""
    words = [word for word in re.split(r"[^a-z0-9]+", path.name.split(".")[0].lower()) if word]
    splits = [split_named(word) for word in words]
    named = [split for split in splits if split is not None]
    name = "-".join(word for word, split in zip(words, splits, strict=True) if split is None)
    return name, named[0] if len(named) == 1 else ""


def _named(paths: list[Path]) -> str:
    names = [clean(path.name) for path in paths]
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
