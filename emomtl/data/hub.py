"""A data set of the Hugging Face hub, loaded when its rows or splits are first asked for; remote code never runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import SPLITS, Hub, split_named
from emomtl.data.source_file import our_names
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.safety.hub_access import use_hub

if TYPE_CHECKING:
    import datasets

BATCH = 1_000


class HubRows:
    """The rows of a hub data set by split; `place` stands in every error about them."""

    def __init__(self, hub: Hub, place: str) -> None:
        self.hub, self.place = hub, place

    def error(self, found: str, remedy: str = "") -> EmomtlError:
        """An error about this data set, to be raised by the caller."""
        return EmomtlError(Problem(self.place, found, remedy, str(self.hub)))

    @cached_property
    def parts(self) -> dict[str, datasets.Dataset]:
        """The data set's splits under our names, in our order; `all` where it has a single split of another name."""
        return {ours: self._loaded[theirs] for ours, theirs in self._names.items()}

    @cached_property
    def _names(self) -> dict[str, str]:
        """Our names of the splits that are read, and theirs."""
        loaded = self._loaded
        if self.hub.splits is not None:
            lacking = sorted(set(self.hub.splits.values()) - set(loaded))
            if lacking:
                raise self.error(f"no split '{clean(lacking[0])}'", suggest(lacking[0], loaded))
            return {ours: self.hub.splits[ours] for ours in (*SPLITS, "all") if ours in self.hub.splits}
        named: dict[str, list[str]] = {}
        for theirs in loaded:
            named.setdefault(split_named(theirs) or theirs, []).append(theirs)
        doubled = [names for ours, names in named.items() if ours in SPLITS and len(names) > 1]
        if doubled:
            remedy = "name the right ones in the layout's `splits`"
            raise self.error(f"the splits {', '.join(doubled[0])} would be one", remedy)
        ours = {split: named[split][0] for split in SPLITS if split in named}
        if ours:
            return ours
        if len(loaded) == 1:
            return {"all": next(iter(loaded))}
        found = f"its splits are {', '.join(loaded)}, not train, validation, test"
        raise self.error(found, "name them in the layout's `splits`")

    @property
    def unread(self) -> list[str]:
        """The data set's own splits that are not read."""
        read = set(self._names.values())
        return [theirs for theirs in self._loaded if theirs not in read]

    def rows(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each row with its number, from 1; label ids stay numbers."""
        part = self.parts[split]
        names = our_names(part.column_names, self.hub.columns, self.error)
        number = 0
        for batch in part.with_format(None).iter(batch_size=BATCH):
            for values in zip(*batch.values(), strict=True):
                number += 1
                yield number, dict(zip(names, values, strict=True))

    def fingerprint(self) -> str:
        """A digest of what was loaded: the library's own fingerprint of each split."""
        digest = hashlib.sha256()
        for split, part in self.parts.items():
            digest.update(f"{split}\0{part._fingerprint}\0{len(part)}\0".encode())
        return digest.hexdigest()

    @cached_property
    def _loaded(self) -> Mapping[str, datasets.Dataset]:
        import datasets

        away = "" if os.path.isdir(self.hub.id) else use_hub()
        try:
            loaded = datasets.load_dataset(self.hub.id, self.hub.config, revision=self.hub.revision)
        except Exception as error:  # offline, missing, gated, broken: each library below raises kinds of its own
            why = clean(str(error).strip().partition("\n")[0] or type(error).__name__, 200)
            if away:
                why = f"the hub cannot be reached ({away}), and there is no copy of it in the cache"
            raise self.error(f"cannot be loaded: {why}", 'for a local copy, `source = "FOLDER"`') from error
        if not isinstance(loaded, Mapping) or not loaded:
            raise self.error("it has no splits", "look at its page")
        return loaded
