"""Which files a declared layout finds: at its own path, under a named folder, or as one file."""

from __future__ import annotations

import codecs
import glob
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from emomtl.contracts.sources import SPLITS, Files, known_split_names, split_named
from emomtl.data import delimited, jsonl, parquet
from emomtl.data.source_file import KINDS, RawRow, SourceFile, unread_ending, without_bad
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.untrusted import leads_out

ANYTHING = "*"
READERS = {"delimited": delimited, "jsonl": jsonl, "parquet": parquet}
TEXT_ENDINGS = (".txt", ".tab", ".dat", ".psv", ".ssv")
"""Endings that say nothing of a file's format: read where the layout gives a delimiter."""

SplitFiles = dict[str, tuple[SourceFile, ...]]
"""The files of each split, in the order in which they are read.

They stand under `all` where files do not tell the splits."""


def strict_rows(file: SourceFile) -> Iterator[RawRow]:
    """The rows of a file. EmomtlError for a bad one."""
    return without_bad(READERS[file.kind].rows(file))


def is_single(layout: Files) -> bool:
    """Whether the layout is one file, and not a folder with one a split; `*` may be both."""
    if layout.splits is not None:
        return False
    ending = Path(layout.path).suffix.lower()
    return bool(ending in KINDS or layout.split_column or (layout.delimiter and ending))


def at_home(layout: Files, folder: Path, task: str) -> SplitFiles | str:
    """The files at the layout's own path (relative to `folder`), or why they are not there."""
    if layout.path == ANYTHING:
        return "is read from where `source` says"
    home = folder / Path(layout.path).expanduser()
    if is_single(layout):
        return _only_file(layout, home.parent, home.name, task)
    return under(layout, home, task)


def under(layout: Files, folder: Path, task: str) -> SplitFiles | str:
    """The files of the layout under a folder, or what is missing there.

    EmomtlError for a link that leads out of the folder.
    """
    files_by_split = _under(layout, folder, task)
    if isinstance(files_by_split, str):
        return files_by_split
    for files in files_by_split.values():
        for file in files:
            if leads_out(folder, file.path):
                target = clean(str(file.path.resolve()), 200)
                found = f"'{clean(file.path.name)}' is a link that leads out of the folder, "
                found += f"to {target}"
                remedy = "name the folder in which the rows lie"
                raise EmomtlError(Problem(f"tasks.{task}.source", found, remedy, str(folder)))
    return files_by_split


def _under(layout: Files, folder: Path, task: str) -> SplitFiles | str:
    if not os.path.isdir(folder):
        return absence(folder) or f"'{folder.name}' is a file where a folder is expected"
    if layout.splits is not None:
        return _declared_splits(layout, layout.splits, folder, task)
    if layout.split_column and layout.path == ANYTHING:
        return f"the column '{layout.split_column}' tells the splits, which is for a single file"
    if is_single(layout):
        return _only_file(layout, folder, Path(layout.path).name, task)
    return _usual_splits(layout, folder, task)


def alone(layout: Files, path: Path, task: str) -> SplitFiles | str:
    """The one file as a layout for a single file, or why it is none: its ending, or its columns."""
    if layout.splits is not None or not (layout.path == ANYTHING or is_single(layout)):
        return "is a folder with one file a split"
    reason = unread_ending(path, layout)
    if reason:
        return reason
    if layout.path != ANYTHING and not _same_ending(path, Path(layout.path)):
        return f"ends in {Path(layout.path).suffix}"
    file = SourceFile(path, layout, f"{task}: all")
    if isinstance(layout.columns, Mapping) or layout.split_column:
        try:
            names = READERS[file.kind].names(file)
        except EmomtlError as error:
            problem = error.problems[0]
            return f"{problem.found} ({problem.remedy})" if problem.remedy else problem.found
        if layout.split_column and layout.split_column not in names:
            return f"no column '{layout.split_column}'"
    return {"all": (file,)}


def absence(path: Path) -> str:
    """Why there is nothing to read at a path; empty where there is a file or a folder."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            return f"'{path.name}' is a link to '{os.readlink(path)}', which is not there"
        return f"'{clean(path.name)}' is missing"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"'{clean(path.name)}' cannot be read: {reason}"
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return f"'{path.name}' is neither a file nor a folder"


def layout_faults(layout: Files, inside: bool = False) -> list[str]:
    """What is wrong with a declaration itself, whatever files there are.

    `inside` for a split that has a layout of its own.
    """
    faults = _column_faults(layout)
    delimiter = layout.delimiter
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
        faults.append(f"the delimiter {delimiter!r} is not one usable character")
    try:
        "".encode(layout.encoding)
        codecs.getincrementaldecoder(layout.encoding)
    except (LookupError, ValueError):
        faults.append(f"the encoding '{clean(layout.encoding)}' is not known")
    if inside and (layout.splits is not None or layout.split_column is not None):
        faults.append("a split's own layout has no splits")
    if layout.splits is None:
        return faults
    if layout.split_column is not None:
        faults.append("`splits` and `split_column` exclude each other")
    for split, part in layout.splits.items():
        if split not in SPLITS:
            faults.append(f"the split '{clean(split)}' is none of {', '.join(SPLITS)}")
        if isinstance(part, Files):
            faults += [f"{split}: {fault}" for fault in layout_faults(part, inside=True)]
    return faults


def _column_faults(layout: Files) -> list[str]:
    """What is wrong with `columns` and `header`."""
    columns, faults = layout.columns, []
    if isinstance(columns, str):
        faults.append("`columns` is a text; give a list or a mapping")
    elif isinstance(columns, Sequence):
        named = [name for name in columns if name]
        if len(named) > len(set(named)):
            faults.append("`columns` names a column twice")
        elif columns and not named:
            faults.append("`columns` names no column")
    if layout.header and isinstance(columns, Sequence):
        faults.append("a list of `columns` goes with `header=False`")
    if not layout.header and (not columns or isinstance(columns, Mapping)):
        faults.append("without header, `columns` lists the names")
    return faults


def _declared_splits(
    layout: Files, splits: Mapping[str, str | Files], folder: Path, task: str
) -> SplitFiles | str:
    """The files that the layout names for each split, or which of them are missing."""
    files_by_split: SplitFiles = {}
    missing = []
    for split in SPLITS:
        if split not in splits:
            continue
        part = splits[split]
        own = part if isinstance(part, Files) else replace(layout, path=part, splits=None)
        files = _matching(own, folder, own.path, f"{task}: {split}")
        if isinstance(files, str):
            missing.append(files)
        else:
            files_by_split[split] = files
    return ", ".join(missing) or files_by_split


def _usual_splits(layout: Files, folder: Path, task: str) -> SplitFiles | str:
    """One file a split, by the usual names.

    EmomtlError where a split has several files, and where its only file cannot be read: the split
    would be made from the others.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if os.path.isfile(path))
    except OSError as error:
        return f"'{folder.name}' cannot be read: {error.strerror}"
    place = f"tasks.{task}.source"
    files_by_split: SplitFiles = {}
    unreadable = []
    for split in SPLITS:
        named = [path for path in paths if split_named(path.name.split(".")[0]) == split]
        readable = [path for path in named if path.suffix.lower() in KINDS]
        if not readable and layout.delimiter:
            readable = [path for path in named if path.suffix.lower() in TEXT_ENDINGS]
        if len(readable) > 1:
            found = f"several {split} files: {' and '.join(path.name for path in readable)}"
            raise EmomtlError(Problem(place, found, "leave one", str(folder)))
        if readable:
            files_by_split[split] = (SourceFile(readable[0], layout, f"{task}: {split}"),)
        elif named:
            unreadable.append(f"no file of {split} is read: {unread_ending(named[0], layout)}")
    if files_by_split and unreadable:
        remedy = "give it an ending that is read, or take it out of the folder: "
        remedy += "the split would be made from the others"
        raise EmomtlError(*(Problem(place, found, remedy, str(folder)) for found in unreadable))
    if files_by_split:
        return files_by_split
    endings = f"with an ending of {', '.join(KINDS)}"
    none = f"no file is called as a split is ({known_split_names()}) {endings}"
    return "; ".join(unreadable) or none


def _only_file(layout: Files, folder: Path, name: str, task: str) -> SplitFiles | str:
    files = _matching(layout, folder, name, f"{task}: all")
    return files if isinstance(files, str) else {"all": files}


def _matching(
    layout: Files, folder: Path, pattern: str, place: str
) -> tuple[SourceFile, ...] | str:
    """The files that a name or glob pattern means, sorted, or why there is none.

    A file of that very name comes before the pattern.
    """
    path = folder / pattern
    paths = [path]
    if not os.path.lexists(path) and any(sign in pattern for sign in "*?["):
        full_pattern = os.path.join(glob.escape(str(folder)), pattern)
        matches = glob.glob(full_pattern, recursive=True)
        paths = sorted(Path(match) for match in matches if os.path.isfile(match))
        if not paths:
            return f"'{pattern}' matches no file"
    for path in paths:
        if not os.path.isfile(path):
            return absence(path) or f"'{path.name}' is a folder where a file is expected"
        reason = unread_ending(path, layout)
        if reason:
            return reason
    return tuple(SourceFile(path, layout, place) for path in paths)


def _same_ending(path: Path, declared: Path) -> bool:
    ending, wanted = path.suffix.lower(), declared.suffix.lower()
    return ending == wanted or KINDS.get(ending) == KINDS.get(wanted) == "jsonl"
