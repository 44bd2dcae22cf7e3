"""A data set of the Hugging Face hub. It is loaded when first asked for; remote code never runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING

from emomtl.contracts.sources import SPLITS, Hub, split_named
from emomtl.data.located import Located
from emomtl.data.source_file import RawRow, renamed
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.safety.hub_access import use_hub

if TYPE_CHECKING:
    import datasets

BATCH = 1_000


class LocatedHub(Located):
    """A data set of the hub, loaded when its splits, rows or fingerprint are first asked for."""

    layout: Hub

    def __init__(self, layout: Hub, task: str) -> None:
        self.layout, self.task = layout, task
        self.identity = json.dumps({"hub": asdict(layout)}, sort_keys=True)

    @property
    def splits(self) -> tuple[str, ...]:
        """The data set's splits under our names; `all` where its only split has another name."""
        return tuple(self._names)

    def rows_with_bad(self, split: str) -> Iterator[RawRow]:
        """The rows of a split, numbered from 1; label ids stay numbers."""
        if split not in self._names:
            raise self._lacks(self.task, split)
        return self._read(split)

    def _read(self, split: str) -> Iterator[RawRow]:
        part = self._loaded[self._names[split]]
        names = renamed(part.column_names, self.layout.columns, self.error)
        number = 0
        for batch in part.with_format(None).iter(batch_size=BATCH):
            for values in zip(*batch.values(), strict=True):
                number += 1
                yield RawRow(number, dict(zip(names, values, strict=True)))

    def place(self, split: str, number: int) -> tuple[str, int]:
        """The data set with its split, and the row's number."""
        return f"{self.layout} {split}", number

    @property
    def notes(self) -> list[str]:
        """The data set's splits that are not read."""
        unread = [clean(name) for name in self._loaded if name not in self._names.values()]
        if not unread:
            return []
        return [f"{self.layout} has splits that are not read: {', '.join(unread)}"]

    def fingerprint(self) -> str:
        """A SHA-256 over the library's own fingerprint of each split."""
        digest = hashlib.sha256()
        for split, name in self._names.items():
            part = self._loaded[name]
            digest.update(f"{split}\0{part._fingerprint}\0{len(part)}\0".encode())
        return digest.hexdigest()

    def error(self, found: str, remedy: str = "") -> EmomtlError:
        """An error about this data set, to be raised by the caller."""
        return EmomtlError(Problem(self.task, found, remedy, str(self.layout)))

    @cached_property
    def _names(self) -> dict[str, str]:
        """The data set's names of the splits that are read, by our names, in our order."""
        loaded, declared = self._loaded, self.layout.splits
        if declared is not None:
            missing = sorted(set(declared.values()) - set(loaded))
            if missing:
                raise self.error(f"no split '{clean(missing[0])}'", suggest(missing[0], loaded))
            return {split: declared[split] for split in (*SPLITS, "all") if split in declared}
        named: dict[str, list[str]] = {}
        for name in loaded:
            if (split := split_named(name)) is not None:
                named.setdefault(split, []).append(name)
        for names in named.values():
            if len(names) > 1:
                remedy = "name the right ones in the layout's `splits`"
                raise self.error(f"the splits {', '.join(names)} would be one", remedy)
        if named:
            return {split: named[split][0] for split in SPLITS if split in named}
        if len(loaded) == 1:
            return {"all": next(iter(loaded))}
        found = f"its splits are {', '.join(loaded)}, not train, validation, test"
        raise self.error(found, "name them in the layout's `splits`")

    @cached_property
    def _loaded(self) -> Mapping[str, datasets.Dataset]:
        import datasets

        hub = self.layout
        unreachable = "" if os.path.isdir(hub.id) else use_hub()
        try:
            loaded = datasets.load_dataset(hub.id, hub.config, revision=hub.revision)
        # Offline, missing, gated, broken: each library below has errors of its own.
        except Exception as error:
            why = clean(str(error).strip().partition("\n")[0] or type(error).__name__, 200)
            if unreachable:
                why = f"the hub cannot be reached ({unreachable}), "
                why += "and there is no copy of it in the cache"
            remedy = 'for a local copy, `source = "FOLDER"`'
            raise self.error(f"cannot be loaded: {why}", remedy) from error
        if not isinstance(loaded, Mapping) or not loaded:
            raise self.error("it has no splits", "look at its page")
        return loaded
