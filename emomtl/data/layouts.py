"""Which files a declared layout finds: at its own path, under a folder that the manifest names, or as that one file."""

from __future__ import annotations

import codecs
import glob
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from emomtl.contracts.sources import SPLITS, Files, known_split_names, split_named
from emomtl.data import delimited, jsonl, parquet
from emomtl.data.source_file import KINDS, SourceFile, unread_ending
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.untrusted import leads_out

ANYTHING = "*"
READERS = {"delimited": delimited, "jsonl": jsonl, "parquet": parquet}
TEXT_ENDINGS = (".txt", ".tab", ".dat", ".psv", ".ssv", "")
"""Endings that say nothing of how a file is laid out: read where the layout gives a delimiter."""

Found = dict[str, tuple[SourceFile, ...]]
"""The files of each split, in the order in which they are read; `all` where the splits are not told by files."""


def is_single(layout: Files) -> bool:
    """Whether the layout is one file, and not a folder with one a split; `*` may be both."""
    ending = Path(layout.path).suffix.lower()
    return layout.splits is None and bool(ending in KINDS or layout.split_column or (layout.delimiter and ending))


def at_home(layout: Files, folder: Path, task: str) -> Found | str:
    """The files at the layout's own path (relative to `folder`), or why they are not there."""
    if layout.path == ANYTHING:
        return "is read from where `source` says"
    home = folder / Path(layout.path).expanduser()
    return _only_file(layout, home.parent, home.name, task) if is_single(layout) else under(layout, home, task)


def under(layout: Files, folder: Path, task: str) -> Found | str:
    """The files of the layout under a folder, or what is missing there; a link that leads out of the folder is an error."""
    found = _found(layout, folder, task)
    for file in (file for files in found.values() for file in files) if isinstance(found, dict) else ():
        if leads_out(folder, file.path):
            what = f"'{clean(file.path.name)}' is a link that leads out of the folder, to {clean(str(file.path.resolve()), 200)}"
            raise EmomtlError(Problem(f"tasks.{task}.source", what, "name the folder in which the rows lie", str(folder)))
    return found


def _found(layout: Files, folder: Path, task: str) -> Found | str:
    if not os.path.isdir(folder):
        return absence(folder) or f"'{folder.name}' is a file where a folder is expected"
    if layout.splits is not None:
        return _declared_splits(layout, layout.splits, folder, task)
    if layout.split_column and layout.path == ANYTHING:
        return f"the column '{layout.split_column}' tells the splits, which is for a single file"
    if is_single(layout):
        return _only_file(layout, folder, Path(layout.path).name, task)
    return _usual_splits(layout, folder, task)


def alone(layout: Files, path: Path, task: str) -> Found | str:
    """The one file as a layout for a single file, or why it is none: its ending, or a column that it lacks."""
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
        return f"'{clean(path.name)}' cannot be read: {getattr(error, 'strerror', None) or error}"
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else f"'{path.name}' is neither a file nor a folder"


def wrong_with(layout: Files, inside: bool = False) -> list[str]:
    """What is wrong with a declaration itself, whatever files there are; `inside` for a split with a layout of its own."""
    found = []
    if isinstance(layout.columns, str):
        found.append("`columns` is a text; give a list or a mapping")
    elif isinstance(layout.columns, Sequence) and len(named := [name for name in layout.columns if name]) > len(set(named)):
        found.append("`columns` names a column twice")
    elif isinstance(layout.columns, Sequence) and layout.columns and not any(layout.columns):
        found.append("`columns` names no column")
    if layout.header and isinstance(layout.columns, Sequence):
        found.append("a list of `columns` goes with `header=False`")
    if not layout.header and (not layout.columns or isinstance(layout.columns, Mapping)):
        found.append("without header, `columns` lists the names")
    if layout.delimiter is not None and (len(layout.delimiter) != 1 or layout.delimiter in '"\r\n\0'):
        found.append(f"the delimiter {layout.delimiter!r} is not one usable character")
    try:
        "".encode(layout.encoding)
        codecs.getincrementaldecoder(layout.encoding)
    except (LookupError, ValueError):
        found.append(f"the encoding '{clean(layout.encoding)}' is not known")
    if inside and (layout.splits is not None or layout.split_column is not None):
        found.append("a split's own layout has no splits")
    if layout.splits is not None:
        if layout.split_column is not None:
            found.append("`splits` and `split_column` exclude each other")
        found += [f"the split '{clean(split)}' is none of {', '.join(SPLITS)}" for split in layout.splits if split not in SPLITS]
        for split, part in layout.splits.items():
            found += [f"{split}: {what}" for what in (wrong_with(part, inside=True) if isinstance(part, Files) else ())]
    return found


def _declared_splits(layout: Files, splits: Mapping[str, str | Files], folder: Path, task: str) -> Found | str:
    found: Found = {}
    lacking = []
    for split in (split for split in SPLITS if split in splits):
        part = splits[split]
        own = part if isinstance(part, Files) else replace(layout, path=part, splits=None)
        files = _files(own, folder, own.path, f"{task}: {split}")
        if isinstance(files, str):
            lacking.append(files)
        else:
            found[split] = files
    return ", ".join(lacking) or found


def _usual_splits(layout: Files, folder: Path, task: str) -> Found | str:
    """One file a split, by the usual names; a split whose only file cannot be read is refused, never made anew."""
    try:
        there = sorted(path for path in folder.iterdir() if os.path.isfile(path))
    except OSError as error:
        return f"'{folder.name}' cannot be read: {error.strerror}"
    found: Found = {}
    unreadable = []
    for split in SPLITS:
        named = [path for path in there if split_named(path.name.split(".")[0]) == split]
        paths = [path for path in named if path.suffix.lower() in KINDS]
        if not paths and layout.delimiter:
            paths = [path for path in named if path.suffix.lower() in TEXT_ENDINGS[:-1]]
        if len(paths) > 1:
            several = " and ".join(path.name for path in paths)
            raise EmomtlError(Problem(f"tasks.{task}.source", f"several {split} files: {several}", "leave one", str(folder)))
        if paths:
            found[split] = (SourceFile(paths[0], layout, f"{task}: {split}"),)
        elif named:
            unreadable.append(f"no file of {split} is read: {unread_ending(named[0], layout)}")
    if found and unreadable:
        remedy = "give it an ending that is read, or take it out of the folder: the split would be made from the others"
        raise EmomtlError(*(Problem(f"tasks.{task}.source", why, remedy, str(folder)) for why in unreadable))
    endings = f"with an ending of {', '.join(KINDS)}"
    return found or "; ".join(unreadable) or f"no file is called as a split is ({known_split_names()}) {endings}"


def _only_file(layout: Files, folder: Path, name: str, task: str) -> Found | str:
    files = _files(layout, folder, name, f"{task}: all")
    return files if isinstance(files, str) else {"all": files}


def _files(layout: Files, folder: Path, pattern: str, place: str) -> tuple[SourceFile, ...] | str:
    """The files that a name or glob pattern means, sorted; a file of that very name comes before the pattern."""
    path = folder / pattern
    paths = [path]
    if not os.path.lexists(path) and any(sign in pattern for sign in "*?["):
        matching = glob.glob(os.path.join(glob.escape(str(folder)), pattern), recursive=True)
        paths = sorted(Path(match) for match in matching if os.path.isfile(match))
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
