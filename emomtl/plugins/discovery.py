"""Finds plugins by their entry points and imports them on demand.

A plugin that does not import stops only the runs that need it.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.plugins.events import Events
from emomtl.plugins.offers import GROUP, Offer, Plugin, clash
from emomtl.safety.untrusted import sha256_of


@dataclass(frozen=True)
class InstalledEntry:
    """An entry point with the name and version of its distribution."""

    name: str
    module: str
    distribution: str
    version: str
    load: Callable[[], Any]

    @property
    def release(self) -> str:
        """The distribution with its version."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def label(self) -> str:
        """The name of the entry's plugin in messages."""
        return f"{self.module} ({self.release})"


class Plugins:
    """The installed plugins; `offer` imports what a name needs. Made and passed, never global.

    `trust` says which plugin files of a finished run are run when it is opened: all (True), none,
    or those whose SHA-256 is in a collection.
    """

    def __init__(
        self, entry_points: Iterable[EntryPoint], trust: bool | Collection[str] = False
    ) -> None:
        self.entries = _installed(entry_points)
        self._trust = trust
        self._loaded: dict[str, Plugin] = {}
        self.broken: dict[str, str] = {}
        self.notes: list[str] = []
        self._reset()

    def _reset(self) -> None:
        """Forget the run: no plugin is active and no event was emitted."""
        self._active: dict[str, Plugin] = {}
        self._used: dict[tuple[str, str], Offer] = {}
        self.events = Events()

    @classmethod
    def discover(cls, trust: bool | Collection[str] = False) -> Plugins:
        """The plugins of this environment; imports none of them."""
        return cls(entry_points(group=GROUP), trust)

    def for_another_run(self) -> Plugins:
        """The same plugins, none of them active."""
        other = copy.copy(self)
        other._reset()
        return other

    def trusts(self, file: Path) -> bool:
        """Whether a plugin file that a run brings along may be run."""
        if isinstance(self._trust, bool):
            return self._trust
        return file.is_file() and sha256_of(file) in self._trust

    # -- offers -------------------------------------------------------------------------------

    def offer(self, kind: str, name: str) -> Offer:
        """The offer of this name; its plugin becomes active.

        Raises `EmomtlError` for a name that is unknown, offered twice, or of a broken plugin.
        """
        named = [entry for entry in self.entries if entry.name == name]
        offers = self._matching(kind, name, named)
        if not offers:
            # No entry point has the name. A plugin may offer it all the same: import every one.
            self.offers(kind)
            working = [entry for entry in self.entries if entry.label not in self.broken]
            offers = self._matching(kind, name, working)
            for offer in offers:
                if offer.plugin.distribution:
                    self.notes.append(_without_entry_point(offer))
        if not offers:
            raise self._unknown(kind, name)
        if len(offers) > 1:
            raise clash(offers)
        self._activate(offers[0].plugin)
        self._used[kind, name] = offers[0]
        return offers[0]

    def _matching(self, kind: str, name: str, entries: Sequence[InstalledEntry]) -> list[Offer]:
        """The offers of a name, by the plugins of some entries and by the active ones."""
        plugins = {plugin.label: plugin for plugin in map(self._load, entries) if plugin}
        offers = [plugin.offers(kind).get(name) for plugin in (plugins | self._active).values()]
        return [offer for offer in offers if offer is not None]

    def _unknown(self, kind: str, name: str) -> EmomtlError:
        for entry in self.entries:
            if entry.name == name and entry.label in self.broken:
                reason = f"{entry.label}, does not import: {self.broken[entry.label]}"
                found = f"the plugin of {kind} '{name}', {reason}"
                return EmomtlError(Problem("", found, "mend or uninstall the plugin"))
        remedy = suggest(name, self.offers(kind))
        if self.broken:
            remedy += f"; {len(self.broken)} plugin(s) do not import, see `emomtl plugins`"
        return EmomtlError(Problem("", f"{kind} '{clean(name)}' is not installed", remedy))

    def offers(self, kind: str) -> dict[str, Offer]:
        """Every offer of a kind, by name. Imports every plugin; `broken` has those that fail.

        Of a name that several plugins offer, the first is returned and a note says so. Using the
        name is an error.
        """
        offers_by_name: dict[str, list[Offer]] = {}
        for entry in self.entries:
            self._load(entry)
        for plugin in self._loaded.values():
            try:
                for name, offer in plugin.offers(kind).items():
                    offers_by_name.setdefault(name, []).append(offer)
            except EmomtlError as error:
                self.broken[plugin.label] = str(error)
        for offers in offers_by_name.values():
            if len(offers) > 1 and str(clash(offers)) not in self.notes:
                self.notes.append(str(clash(offers)))
        return {name: offers[0] for name, offers in sorted(offers_by_name.items())}

    # -- active plugins -----------------------------------------------------------------------

    def activate(self, name: str, folder: Path) -> None:
        """Let the plugins of a distribution, or a single file, listen to events.

        `name` is a distribution's name, or a path that ends in .py, relative to `folder`.
        """
        if name.endswith(".py"):
            self._activate(self._load_file((folder / name).resolve()))
            return
        entries = [entry for entry in self.entries if _normal(entry.distribution) == _normal(name)]
        if not entries:
            known = {entry.distribution for entry in self.entries}
            found = f"no installed distribution '{clean(name)}' has emomtl plugins"
            raise EmomtlError(Problem("plugins", found, suggest(name, known)))
        for entry in entries:
            plugin = self._load(entry)
            if plugin is None:
                found = f"{entry.label} does not import: {self.broken[entry.label]}"
                raise EmomtlError(Problem("plugins", found, "mend the plugin"))
            self._activate(plugin)

    def _activate(self, plugin: Plugin) -> None:
        """Make a plugin active; it must not offer a name that the run has from another plugin."""
        if plugin.label in self._active:
            return
        for (kind, name), used in self._used.items():
            other = plugin.offers(kind).get(name)
            if other is not None:
                raise clash([used, other])
        self._active[plugin.label] = plugin

    @property
    def active(self) -> list[Plugin]:
        """The plugins that this run uses, in the order in which they were named."""
        return list(self._active.values())

    def emit(self, event: str, **facts: Any) -> list[Any]:
        """Emit an event to every active plugin; returns the answers of those that listen."""
        return self.events.emit(event, self.active, facts)

    # -- loading ------------------------------------------------------------------------------

    def _load(self, entry: InstalledEntry) -> Plugin | None:
        """The plugin of an entry point; None if it is broken."""
        label = entry.label
        if label not in self._loaded and label not in self.broken:
            try:
                module = entry.load()
                self._loaded[label] = Plugin(module, label, entry.distribution, entry.version)
            except EmomtlError as error:
                self.broken[label] = str(error)
            except (Exception, SystemExit) as error:  # an import may do anything
                self.broken[label] = f"{type(error).__name__}: {clean(str(error), 200)}"
        return self._loaded.get(label)

    def _load_file(self, path: Path) -> Plugin:
        label = str(path)
        if label in self._loaded:
            return self._loaded[label]
        if not path.is_file():
            remedy = "a plugin file is named relative to the manifest"
            raise EmomtlError(Problem("plugins", f"{path} is not a file", remedy))
        # The hash tells apart two files of one name; both can be in sys.modules.
        digest = hashlib.sha256(label.encode()).hexdigest()[:12]
        name = f"emomtl_file_{digest}_{re.sub(r'[^A-Za-z0-9]', '_', path.stem)}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            reason = f"{type(error).__name__}: {clean(str(error), 200)}"
            found = f"{path} does not import: {reason}"
            raise EmomtlError(Problem("plugins", found, "mend the file")) from error
        self._loaded[label] = Plugin(module, label)
        return self._loaded[label]


def _installed(entry_points: Iterable[EntryPoint]) -> list[InstalledEntry]:
    """The entry points with their distributions.

    A distribution that is found in two places of the path counts once. Two distributions that name
    the same module stay two, and clash when it is used.
    """
    entries: dict[tuple[str, str, str], InstalledEntry] = {}
    versions: dict[int, tuple[str, str]] = {}
    for entry_point in list(entry_points):  # the list keeps every `dist`, so that no id comes twice
        dist = entry_point.dist
        if id(dist) not in versions:  # reading name and version reads a file
            versions[id(dist)] = ("unknown", "") if dist is None else (dist.name, dist.version)
        distribution, version = versions[id(dist)]
        key = (entry_point.name, entry_point.value, _normal(distribution))
        if key not in entries:
            entries[key] = InstalledEntry(
                entry_point.name, entry_point.value, distribution, version, entry_point.load
            )
    return list(entries.values())


def _without_entry_point(offer: Offer) -> str:
    """The note for the author of a plugin that offers a name without an entry point."""
    entry = f'[project.entry-points.emomtl] {offer.name} = "{offer.plugin.module.__name__}"'
    return (
        f"{offer.kind} '{offer.name}' has no entry point of its own; its author should add {entry}"
    )


def _normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
