"""From a task's declared layouts and a manifest's `source` to the place of its rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from emomtl.contracts.sources import (
    SPLITS,
    Files,
    Hub,
    Rows,
    Source,
    known_split_names,
    split_named,
)
from emomtl.data.beside import unread_notes
from emomtl.data.hub import LocatedHub
from emomtl.data.layouts import (
    ANYTHING,
    READERS,
    SplitFiles,
    absence,
    alone,
    at_home,
    layout_faults,
    under,
)
from emomtl.data.located import FILE_STRIDE, Located, content_digest
from emomtl.data.python_rows import LocatedRows, declaration_faults
from emomtl.data.source_file import HIDDEN, RawRow
from emomtl.errors import EmomtlError, Problem, clean, quoted, suggest

MOST_LISTED = 12
"""Names of a folder's files that an error lists."""


class LocatedFiles(Located):
    """Files on this machine.

    Where the layout has a split column, each split is a pass over the one file.
    """

    layout: Files

    def __init__(self, layout: Files, files: SplitFiles, task: str) -> None:
        self.layout, self.files, self.task = layout, files, task
        self.split_column = layout.split_column
        content = {}
        for split, parts in files.items():
            content[split] = [(str(file.path.resolve()), file.options()) for file in parts]
        self.identity = json.dumps(content, sort_keys=True)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits with files, or those that the split column names (found by one pass)."""
        if self.split_column is None:
            return tuple(self.files)
        splits, error = set(), None
        for raw in self._read("all"):
            if raw.error is None:
                splits.add(self._split_of(raw))
            else:
                error = error or raw.error
        # Without any split there is no pass in which the bad rows would be counted.
        if not splits and error is not None:
            raise error()
        return tuple(split for split in SPLITS if split in splits)

    def rows_with_bad(self, split: str) -> Iterator[RawRow]:
        """The rows of a split in the files' order."""
        if self.split_column is not None and split in SPLITS:
            return self._of_split(split)
        if self.split_column is not None or split not in self.files:
            raise self._lacks(self.task, split)
        return self._read(split)

    def _of_split(self, split: str) -> Iterator[RawRow]:
        """The rows of one split; a bad row has none, and comes in the pass for each."""
        for raw in self._read("all"):
            if raw.error is not None or self._split_of(raw) == split:
                yield raw

    def place(self, split: str, number: int) -> tuple[str, int]:
        """The file and the line (Parquet: the row) of a row number."""
        index, line = divmod(number, FILE_STRIDE)
        part = split if self.split_column is None else "all"
        return str(self.files[part][index].path), line

    def fingerprint(self) -> str:
        """A SHA-256 over each file's split, size and bytes."""
        paths = {split: [file.path for file in files] for split, files in self.files.items()}
        return content_digest(paths, self.task)

    @property
    def notes(self) -> list[str]:
        """Files beside these that are not read, and a column of splits that nothing asks for."""
        return unread_notes(self.files, self.layout)

    def _read(self, part: str) -> Iterator[RawRow]:
        for index, file in enumerate(self.files[part]):
            for raw in READERS[file.kind].rows(file):
                yield raw if index == 0 else replace(raw, number=index * FILE_STRIDE + raw.number)

    def _split_of(self, raw: RawRow) -> str:
        """The split that a row's split column names. EmomtlError where it names none."""
        column = self.split_column or ""
        file, line = self.place("all", raw.number)
        hidden = self.layout.sensitive
        if column not in raw.values:
            remedy = HIDDEN
            if not hidden:
                remedy = suggest(column, [clean(str(name), 40) for name in raw.values])
            found = f"no column '{column}'"
            raise EmomtlError(Problem(f"{self.task}: all", found, remedy, file, line))
        cell = raw.values[column]
        split = split_named(cell) if isinstance(cell, str) else None
        if split is None:
            found = f"the column '{column}' says {'something else' if hidden else quoted(cell)}"
            remedy = f"a split is called {known_split_names()}"
            raise EmomtlError(Problem(f"{self.task}: all", found, remedy, file, line))
        return split


def locate(layouts: Sequence[Source], source: str | None, folder: Path, task: str) -> Located:
    """Find the rows of a task.

    Without `source` they are at the first declared layout whose files exist, else on the hub.
    `source` is a file or a folder (relative to `folder`, the manifest's; `~` is the home folder),
    matched against the declared layouts in order, or `hub:ID` or `hub:ID/CONFIG`. Nothing is read
    but headers, and nothing is downloaded. EmomtlError with the reasons where nothing fits.
    """
    problems = []
    for layout in layouts:
        for fault in _faults(layout):
            found = f"its layout {layout} cannot be read: {fault}"
            problems.append(Problem(f"task '{task}'", found, "mend the task's plugin"))
    if problems:
        raise EmomtlError(*problems)
    if source is None:
        return _declared(layouts, folder, task)
    if source.startswith("hub:"):
        return LocatedHub(_hub(layouts, source, task), task)
    return _at_source(layouts, source, folder, task)


def _faults(layout: Source) -> list[str]:
    """What is wrong with a declaration itself."""
    if isinstance(layout, Files):
        return layout_faults(layout)
    return declaration_faults(layout) if isinstance(layout, Rows) else []


def _declared(layouts: Sequence[Source], folder: Path, task: str) -> Located:
    """The first layout whose files exist, else the hub."""
    reasons = []
    for layout in layouts:
        located: Located | str
        if isinstance(layout, Files):
            files = at_home(layout, folder, task)
            located = files if isinstance(files, str) else LocatedFiles(layout, files, task)
        elif isinstance(layout, Rows) and layout.path != ANYTHING:
            located = LocatedRows.under(layout, folder / Path(layout.path).expanduser(), task)
        elif isinstance(layout, Rows):
            located = "is read from where `source` says"
        else:
            continue
        if not isinstance(located, str):
            return located
        reasons.append((_described(layout), located))
    hub = next((layout for layout in layouts if isinstance(layout, Hub)), None)
    if hub is not None:
        return LocatedHub(hub, task)
    remedy = 'say where they are: `source = "FILE or FOLDER"`'
    raise _no_match(task, "its rows are not here", remedy, reasons)


def _hub(layouts: Sequence[Source], source: str, task: str) -> Hub:
    """The data set that `hub:ID[/CONFIG]` means: a declared one, with the configuration named.

    A task that reads any file also reads any data set.
    """
    declared = [layout for layout in layouts if isinstance(layout, Hub)]
    wanted = source.removeprefix("hub:").strip("/")
    for hub in declared:
        if wanted == hub.id or source == str(hub):
            return hub
    for hub in declared:
        if wanted.startswith(hub.id + "/"):
            return replace(hub, config=wanted.removeprefix(hub.id + "/"))
    if wanted and any(_reads_any_file(layout) for layout in layouts):
        owner, name, config = [*wanted.split("/", 2), None, None][:3]
        return Hub("/".join(part for part in (owner, name) if part is not None), config)
    known = ", ".join(map(str, declared)) or "none"
    found = f"'{clean(source)}' is no data set of this task"
    raise EmomtlError(Problem(f"tasks.{task}.source", found, f"its plugin names: {known}"))


def _reads_any_file(layout: Source) -> bool:
    return isinstance(layout, Files) and layout.path == ANYTHING and layout.splits is None


def _at_source(layouts: Sequence[Source], source: str, folder: Path, task: str) -> Located:
    """The first layout that fits the file or folder that `source` names."""
    path = _existing(source, folder, task)
    reasons = []
    for layout in layouts:
        located: Located | str
        if isinstance(layout, Files):
            match = under if path.is_dir() else alone
            files = match(layout, path, task)
            located = files if isinstance(files, str) else LocatedFiles(layout, files, task)
        elif isinstance(layout, Rows):
            located = LocatedRows.under(layout, path, task)
        else:
            continue
        if not isinstance(located, str):
            return located
        reasons.append((_described(layout), located))
    kind = "the folder" if path.is_dir() else "the file"
    found = f"{kind} '{clean(source)}' fits no layout of this task"
    remedy = f"there stand: {_listing(path)}" if path.is_dir() else ""
    raise _no_match(task, found, remedy, reasons)


def _existing(source: str, folder: Path, task: str) -> Path:
    """The path that `source` names, which must exist."""
    place = f"tasks.{task}.source"
    try:
        path = folder / Path(source).expanduser()
        reason = absence(path) if source.strip() else "`source` is empty"
    except RuntimeError as error:  # `~` of an unknown user
        found = f"'{clean(source)}': {clean(str(error))}"
        raise EmomtlError(Problem(place, found, "write the path out")) from error
    if reason:
        parent = path.parent
        remedy = f"{parent} is not there, either"
        if os.path.isdir(parent):
            remedy = f"in {parent} stand: {_listing(parent)}"
        raise EmomtlError(Problem(place, reason, remedy))
    return path


def _listing(folder: Path) -> str:
    """At most twelve names of what stands in a folder."""
    try:
        names = sorted(clean(path.name) for path in folder.iterdir())
    except OSError as error:
        return f"nothing that may be read ({error.strerror})"
    if not names:
        return "nothing"
    shown = ", ".join(names[:MOST_LISTED])
    more = len(names) - MOST_LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def _no_match(
    task: str, found: str, remedy: str, reasons: Sequence[tuple[str, str]]
) -> EmomtlError:
    """One error: what is wrong, then why each layout does not fit."""
    looked = [Problem("", f"  layout {layout}: {reason}") for layout, reason in reasons]
    return EmomtlError(Problem(f"tasks.{task}.source", found, remedy), *looked)


def _described(layout: Files | Rows) -> str:
    """A layout as the list of reasons names it."""
    if isinstance(layout, Rows):
        names = ", ".join(name for part in layout.parts.values() for name in part)
        return f"'{layout.path}' with {names}, read by Python"
    if layout.splits is not None:
        parts = layout.splits.values()
        names = ", ".join(part if isinstance(part, str) else part.path for part in parts)
        return f"'{layout.path}' with {names}"
    if layout.path == ANYTHING:
        return "'*' (any file, or a folder of split files)"
    return f"'{layout.path}'"
