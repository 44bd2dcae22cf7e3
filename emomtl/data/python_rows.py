"""Rows that a plugin's own function finds in files (`Rows`). A row is known by its number."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from emomtl.contracts.sources import SPLITS, Rows
from emomtl.data.located import Located, content_digest
from emomtl.data.source_file import HIDDEN, RawRow
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.untrusted import leads_out


def declaration_faults(layout: Rows) -> list[str]:
    """What is wrong with a declaration itself, whatever files there are."""
    faults = []
    if not callable(layout.find):
        faults.append("`find` is no function")
    if isinstance(layout.files, Mapping):
        for split, names in layout.files.items():
            if split not in SPLITS:
                faults.append(f"the split '{clean(str(split))}' is none of {', '.join(SPLITS)}")
            if isinstance(names, str):
                faults.append(f"`files` of {split} is a text; give a list of names")
    elif isinstance(layout.files, str):
        faults.append("`files` is a text; give a list of names")
    if not faults and not all(layout.parts.values()):
        faults.append("`files` names no file")
    return faults


class LocatedRows(Located):
    """The files of a `Rows` source on this machine, and its function over them."""

    layout: Rows

    def __init__(self, layout: Rows, files: Mapping[str, tuple[Path, ...]], task: str) -> None:
        self.layout, self.files, self.task = layout, dict(files), task
        where = {split: [str(path.resolve()) for path in paths] for split, paths in files.items()}
        name = _qualified_name(layout.find)
        self.lasting = name is not None
        content = {"rows": name or id(layout.find), "files": where}
        self.identity = json.dumps(content, sort_keys=True)

    @classmethod
    def under(cls, layout: Rows, path: Path, task: str) -> LocatedRows | str:
        """The source with its files under a folder, or with its one file there; else why not."""
        names = [name for part in layout.parts.values() for name in part]
        if path.is_file():
            if len(names) > 1:
                return f"is a folder with {', '.join(names)}"
            return cls(layout, dict.fromkeys(layout.parts, (path,)), task)
        missing = [name for name in names if not (path / name).is_file()]
        if missing:
            return ", ".join(f"'{clean(name)}' is missing" for name in missing)
        for name in names:
            if leads_out(path, path / name):
                target = clean(str((path / name).resolve()), 200)
                found = f"'{clean(name)}' leads out of the folder, to {target}"
                remedy = "name the folder in which the rows lie"
                raise EmomtlError(Problem(f"tasks.{task}.source", found, remedy, str(path)))
        parts = layout.parts.items()
        files = {split: tuple(path / name for name in names) for split, names in parts}
        return cls(layout, files, task)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that `files` names."""
        return tuple(self.files)

    def rows_with_bad(self, split: str) -> Iterator[RawRow]:
        """The rows that the function gives for a split, numbered from 1; none is a bad row."""
        if split not in self.files:
            raise self._lacks(self.task, split)
        return self._numbered(split)

    def _numbered(self, split: str) -> Iterator[RawRow]:
        for number, row in enumerate(self._found(split), 1):
            if not isinstance(row, Mapping):
                found = f"row {number} is {type(row).__name__}, no mapping of columns"
                raise self._error(split, found, 'yield {"text": ..., "label": ...}')
            yield RawRow(number, row)

    def _found(self, split: str) -> Iterator[Any]:
        """What the function gives; whatever it raises becomes an error with its place."""
        number = 0
        try:
            for number, row in enumerate(self.layout.find(*self.files[split]), 1):  # noqa: B007
                yield row
        except Exception as error:
            if isinstance(error, EmomtlError) and not self.layout.sensitive:
                raise
            raise self._failed(split, error, number) from None

    def _failed(self, split: str, error: Exception, number: int) -> EmomtlError:
        name = getattr(self.layout.find, "__name__", "find")
        after = f" after row {number:,}" if number else ""
        kind = type(error).__name__
        if self.layout.sensitive:
            return self._error(split, f"`{name}` raised {kind}{after}", HIDDEN)
        found = f"`{name}` raised {kind}: {clean(str(error), 200)}{after}"
        return self._error(split, found, "mend the files, or the plugin's function")

    def _error(self, split: str, found: str, remedy: str) -> EmomtlError:
        first_file, _ = self.place(split, 0)
        return EmomtlError(Problem(f"{self.task}: {split}", found, remedy, first_file))

    def place(self, split: str, number: int) -> tuple[str, int]:
        """The first file of the split, and the row's number among those that the function gave."""
        return str(self.files[split][0]), number

    def fingerprint(self) -> str:
        """A SHA-256 over each file's split, size and bytes."""
        return content_digest(self.files, self.task)


def _qualified_name(find: Callable[..., Any]) -> str | None:
    """Where a function is defined; None for a lambda, a partial and the like."""
    module, name = getattr(find, "__module__", None), getattr(find, "__qualname__", "<>")
    return f"{module}.{name}" if module and "<" not in name else None
