"""From a task's declared layouts and a manifest's `source` to rows: what is read, how, and where a row stands."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

from emomtl.contracts.sources import SPLITS, Files, Hub, Rows, Source, known_split_names, split_named
from emomtl.data.beside import unread
from emomtl.data.hub import HubRows
from emomtl.data.layouts import ANYTHING, READERS, Found, absence, alone, at_home, under, wrong_with
from emomtl.data.located import FILE_STRIDE, Deaf, InFile, Located, RawRow, said_place
from emomtl.data.python_rows import LocatedRows, faults
from emomtl.data.source_file import HIDDEN, STRICT, Heard
from emomtl.errors import EmomtlError, Problem, clean, quoted, suggest

__all__ = ["FILE_STRIDE", "Located", "LocatedFiles", "LocatedHub", "LocatedRows", "RawRow", "locate", "said_place"]


class LocatedFiles(Located):
    """Files on this machine; where the layout has a split column, each split is a pass over the one file."""

    layout: Files

    def __init__(self, layout: Files, found: Found, task: str) -> None:
        self.layout, self.files, self.task = layout, found, task
        self.split_column = layout.split_column
        reads = {split: [(str(file.path.resolve()), file.options()) for file in files] for split, files in found.items()}
        self.identity = json.dumps(reads, sort_keys=True)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits with files, or those that the split column names (found by one pass)."""
        if self.split_column is None:
            return tuple(self.files)
        deaf = Deaf()
        found = {self._split_of(raw) for raw in self._read("all", deaf)}
        if not found and deaf.first is not None:  # no row has a split, so no pass for a split would tell of any
            raise deaf.first
        return tuple(split for split in SPLITS if split in found)

    def rows(self, split: str, heard: Heard = STRICT) -> Iterator[RawRow]:
        """The rows of a split in the files' order; with a split column, those that it gives to the split."""
        if self.split_column is not None and split in SPLITS:
            # A row that is cut wrong has no split: it is told of in the pass for each one, under the same number.
            return (raw for raw in self._read("all", heard) if self._split_of(raw) == split)
        if self.split_column is not None or split not in self.files:
            raise self._lacks(self.task, split)
        return self._read(split, heard)

    def place(self, split: str, number: int) -> tuple[str, int]:
        """The file and the line (Parquet: the row) of a row number."""
        index, line = divmod(number, FILE_STRIDE)
        return str(self.files["all" if self.split_column is not None else split][index].path), line

    def fingerprint(self) -> str:
        """A sha256 over each file's split, size and bytes; where the files lie makes no difference."""
        digest = hashlib.sha256()
        for split, files in self.files.items():
            for file in files:
                try:
                    digest.update(f"{split}\0{file.path.stat().st_size}\0".encode())
                    with file.path.open("rb") as stream:
                        while block := stream.read(2**20):
                            digest.update(block)
                except OSError as error:
                    raise file.unreadable(error) from error
        return digest.hexdigest()

    @property
    def notes(self) -> list[str]:
        """Files that stand beside these and are not read, and a column that tells splits and is not asked."""
        return unread(self.files, self.layout)

    def _read(self, part: str, heard: Heard) -> Iterator[RawRow]:
        for index, file in enumerate(self.files[part]):
            offset = index * FILE_STRIDE
            for number, values in READERS[file.kind].rows(file, InFile(heard, offset)):
                yield RawRow(offset + number, values)

    def _split_of(self, raw: RawRow) -> str:
        column = self.split_column or ""
        file, line = self.place("all", raw.number)
        hidden = self.layout.sensitive
        if column not in raw.values:
            near = HIDDEN if hidden else suggest(column, [clean(str(name), 40) for name in raw.values])
            raise EmomtlError(Problem(f"{self.task}: all", f"no column '{column}'", near, file, line))
        said = raw.values[column]
        split = split_named(said) if isinstance(said, str) else None
        if split is None:
            found = f"the column '{column}' says {'something else' if hidden else quoted(said)}"
            remedy = f"a split is called {known_split_names()}"
            raise EmomtlError(Problem(f"{self.task}: all", found, remedy, file, line))
        return split


class LocatedHub(Located):
    """A data set of the hub; nothing is loaded before splits, rows or a fingerprint are asked for."""

    def __init__(self, layout: Hub, task: str) -> None:
        self.layout, self.task = layout, task
        self._hub = HubRows(layout, task)
        self.identity = json.dumps({"hub": asdict(layout)}, sort_keys=True)

    @property
    def splits(self) -> tuple[str, ...]:
        """The data set's splits under our names."""
        return tuple(self._hub.parts)

    def rows(self, split: str, heard: Heard = STRICT) -> Iterator[RawRow]:
        """The rows of a split, numbered from 1."""
        if split not in self.splits:
            raise self._lacks(self.task, split)
        return (RawRow(number, values) for number, values in self._hub.rows(split))

    def place(self, split: str, number: int) -> tuple[str, int]:
        """The data set with its split, and the row's number."""
        return f"{self.layout} {split}", number

    @property
    def notes(self) -> list[str]:
        """The data set's splits that are not read."""
        unread = self._hub.unread
        return [f"{self.layout} has splits that are not read: {', '.join(map(clean, unread))}"] if unread else []

    def fingerprint(self) -> str:
        """A sha256 over the library's fingerprint of each split."""
        return self._hub.fingerprint()


def locate(layouts: Sequence[Source], source: str | None, folder: Path, task: str) -> Located:
    """The rows of a task: at the first declared layout whose files exist (else on the hub), or where `source` says.

    `source` is a file or a folder (relative to `folder`, the manifest's; `~` is the home folder), matched against the
    declared layouts in order, or `hub:ID` or `hub:ID/CONFIG`. Nothing is read but headers, and nothing is downloaded.
    """
    problems = [
        Problem(f"task '{task}'", f"its layout {layout} cannot be read: {what}", "mend the task's plugin")
        for layout in layouts
        for what in _wrong(layout)
    ]
    if problems:
        raise EmomtlError(*problems)
    if source is None:
        return _declared(layouts, folder, task)
    if source.startswith("hub:"):
        return LocatedHub(_hub(layouts, source, task), task)
    return _given(layouts, source, folder, task)


def _wrong(layout: Source) -> list[str]:
    """What is wrong with a declaration itself."""
    if isinstance(layout, Files):
        return wrong_with(layout)
    return faults(layout) if isinstance(layout, Rows) else []


def _declared(layouts: Sequence[Source], folder: Path, task: str) -> Located:
    reasons = []
    for layout in layouts:
        if isinstance(layout, Files):
            found = at_home(layout, folder, task)
            if not isinstance(found, str):
                return LocatedFiles(layout, found, task)
            reasons.append((_described(layout), found))
        if isinstance(layout, Rows):
            at = None if layout.path == ANYTHING else folder / Path(layout.path).expanduser()
            rows = "is read from where `source` says" if at is None else LocatedRows.under(layout, at, task)
            if not isinstance(rows, str):
                return rows
            reasons.append((_described(layout), rows))
    hub = next((layout for layout in layouts if isinstance(layout, Hub)), None)
    if hub is not None:
        return LocatedHub(hub, task)
    raise _no_match(task, "its rows are not here", 'say where they are: `source = "FILE or FOLDER"`', reasons)


def _hub(layouts: Sequence[Source], source: str, task: str) -> Hub:
    """The declared hub data set that `hub:ID[/CONFIG]` means; a task that reads any file also reads any data set."""
    declared = [layout for layout in layouts if isinstance(layout, Hub)]
    wanted = source.removeprefix("hub:").strip("/")
    for hub in declared:
        if wanted == hub.id or source == str(hub):
            return hub
    for hub in declared:
        if wanted.startswith(hub.id + "/"):
            return replace(hub, config=wanted.removeprefix(hub.id + "/"))
    if wanted and any(isinstance(layout, Files) and layout.path == ANYTHING and layout.splits is None for layout in layouts):
        owner, *rest = wanted.split("/", 2)
        return Hub("/".join([owner, *rest[:1]]), rest[1] if len(rest) > 1 else None)
    known = ", ".join(map(str, declared)) or "none"
    found = f"'{clean(source)}' is no data set of this task"
    raise EmomtlError(Problem(f"tasks.{task}.source", found, f"its plugin names: {known}"))


def _given(layouts: Sequence[Source], source: str, folder: Path, task: str) -> Located:
    path = _there(source, folder, task)
    reasons = []
    for layout in layouts:
        if isinstance(layout, Files):
            found = under(layout, path, task) if path.is_dir() else alone(layout, path, task)
            if not isinstance(found, str):
                return LocatedFiles(layout, found, task)
            reasons.append((_described(layout), found))
        if isinstance(layout, Rows):
            rows = LocatedRows.under(layout, path, task)
            if not isinstance(rows, str):
                return rows
            reasons.append((_described(layout), rows))
    kind = "the folder" if path.is_dir() else "the file"
    stands = f"there stand: {_listing(path)}" if path.is_dir() else ""
    raise _no_match(task, f"{kind} '{clean(source)}' fits no layout of this task", stands, reasons)


def _there(source: str, folder: Path, task: str) -> Path:
    """The path that `source` names, which must exist."""
    place = f"tasks.{task}.source"
    try:
        path = folder / Path(source).expanduser()
        reason = absence(path) if source.strip() else "`source` is empty"
    except RuntimeError as error:
        raise EmomtlError(Problem(place, f"'{clean(source)}': {clean(str(error))}", "write the path out")) from error
    if reason:
        beside = path.parent
        remedy = f"in {beside} stand: {_listing(beside)}" if os.path.isdir(beside) else f"{beside} is not there, either"
        raise EmomtlError(Problem(place, reason, remedy))
    return path


def _listing(folder: Path) -> str:
    """At most twelve names of what stands in a folder."""
    try:
        names = sorted(clean(path.name) for path in folder.iterdir())
    except OSError as error:
        return f"nothing that may be read ({error.strerror})"
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "nothing"


def _no_match(task: str, found: str, remedy: str, reasons: Sequence[tuple[str, str]]) -> EmomtlError:
    """One error: what is wrong, then each layout that was looked for with the reason why it is not there."""
    looked = [Problem("", f"  layout {layout}: {reason}") for layout, reason in reasons]
    return EmomtlError(Problem(f"tasks.{task}.source", found, remedy), *looked)


def _described(layout: Files | Rows) -> str:
    if isinstance(layout, Rows):
        names = ", ".join(name for part in layout.parts.values() for name in part)
        return f"'{layout.path}' with {names}, read by Python"
    if layout.splits is None:
        return "'*' (any file, or a folder of split files)" if layout.path == ANYTHING else f"'{layout.path}'"
    names = ", ".join(part if isinstance(part, str) else part.path for part in layout.splits.values())
    return f"'{layout.path}' with {names}"
