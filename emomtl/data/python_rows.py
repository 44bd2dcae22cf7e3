"""Rows that a plugin's own function finds in files (`Rows`): the files are hashed, and a row is known by its number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from emomtl.contracts.sources import SPLITS, Rows
from emomtl.data.located import Located, RawRow
from emomtl.data.source_file import HIDDEN, STRICT, Heard
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.untrusted import leads_out

BLOCK = 2**20


def faults(layout: Rows) -> list[str]:
    """What is wrong with a declaration itself, whatever files there are."""
    found = []
    if not callable(layout.find):
        found.append("`find` is no function")
    if isinstance(layout.files, Mapping):
        unknown = [split for split in layout.files if split not in SPLITS]
        found += [f"the split '{clean(str(split))}' is none of {', '.join(SPLITS)}" for split in unknown]
        texts = [split for split, names in layout.files.items() if isinstance(names, str)]
        found += [f"`files` of {split} is a text; give a list of names" for split in texts]
    elif isinstance(layout.files, str):
        found.append("`files` is a text; give a list of names")
    if not found and not all(layout.parts.values()):
        found.append("`files` names no file")
    return found


class LocatedRows(Located):
    """The files of a `Rows` source on this machine, and its function over them."""

    layout: Rows

    def __init__(self, layout: Rows, files: Mapping[str, tuple[Path, ...]], task: str) -> None:
        self.layout, self.files, self.task = layout, dict(files), task
        where = {split: [str(path.resolve()) for path in paths] for split, paths in files.items()}
        name = _name(layout.find)
        self.lasting = name is not None
        self.identity = json.dumps({"rows": name or id(layout.find), "files": where}, sort_keys=True)

    @classmethod
    def under(cls, layout: Rows, path: Path, task: str) -> LocatedRows | str:
        """The source with its files under a folder, or with its one file there; else why it is not."""
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
                what = f"'{clean(name)}' leads out of the folder, to {clean(str((path / name).resolve()), 200)}"
                remedy = "name the folder in which the rows lie"
                raise EmomtlError(Problem(f"tasks.{task}.source", what, remedy, str(path)))
        files = {split: tuple(path / name for name in part) for split, part in layout.parts.items()}
        return cls(layout, files, task)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that `files` names."""
        return tuple(self.files)

    def rows(self, split: str, heard: Heard = STRICT) -> Iterator[RawRow]:
        """The rows that the function gives for a split, numbered from 1; it has no bad rows of its own to tell of."""
        if split not in self.files:
            raise self._lacks(self.task, split)
        return self._found(split)

    def _found(self, split: str) -> Iterator[RawRow]:
        number = 0
        rows = self._begun(split)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except EmomtlError as error:
                if self.layout.sensitive:
                    raise self._failed(split, error, number) from None
                raise
            except Exception as error:  # a stranger's code: whatever it raises is said with its place
                raise self._failed(split, error, number) from None
            number += 1
            if not isinstance(row, Mapping):
                found = f"row {number} is {type(row).__name__}, no mapping of columns"
                raise self._error(split, found, 'yield {"text": ..., "label": ...}')
            yield RawRow(number, row)

    def _begun(self, split: str) -> Iterator[Any]:
        """The iterator that the function gives; a list will do."""
        try:
            found: Iterable[Any] = self.layout.find(*self.files[split])
            return iter(found)
        except EmomtlError as error:
            if self.layout.sensitive:
                raise self._failed(split, error, 0) from None
            raise
        except Exception as error:
            raise self._failed(split, error, 0) from None

    def _failed(self, split: str, error: Exception, number: int) -> EmomtlError:
        name = getattr(self.layout.find, "__name__", "find")
        after = f" after row {number:,}" if number else ""
        if self.layout.sensitive:
            return self._error(split, f"`{name}` raised {type(error).__name__}{after}", HIDDEN)
        said = f"{type(error).__name__}: {clean(str(error), 200)}"
        return self._error(split, f"`{name}` raised {said}{after}", "mend the files, or the plugin's function")

    def _error(self, split: str, found: str, remedy: str) -> EmomtlError:
        return EmomtlError(Problem(f"{self.task}: {split}", found, remedy, str(self.files[split][0])))

    def place(self, split: str, number: int) -> tuple[str, int]:
        """The first file of the split, and the row's number among those that the function gave."""
        return str(self.files[split][0]), number

    def fingerprint(self) -> str:
        """A sha256 over each file's split, size and bytes; where the files lie makes no difference."""
        digest = hashlib.sha256()
        for split, paths in self.files.items():
            for path in paths:
                try:
                    digest.update(f"{split}\0{path.stat().st_size}\0".encode())
                    with path.open("rb") as stream:
                        while block := stream.read(BLOCK):
                            digest.update(block)
                except OSError as error:
                    why = f"cannot be read: {error.strerror or clean(str(error))}"
                    raise EmomtlError(Problem(f"{self.task}: {split}", why, file=str(path))) from error
        return digest.hexdigest()


def _name(find: Callable[..., Any]) -> str | None:
    """Where a function is defined, which tells it from others; None for a lambda, a partial and the like."""
    module, name = getattr(find, "__module__", None), getattr(find, "__qualname__", "<>")
    return f"{module}.{name}" if module and "<" not in name else None
