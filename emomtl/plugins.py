"""Plugins, found by name in package metadata and imported on demand; one that is broken breaks only who needs it."""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import pluggy

from emomtl import hookspecs
from emomtl.errors import EmomtlError, Problem, clean, suggest

GROUP = "emomtl"
KINDS = {
    "task": "emomtl_tasks",
    "sampler": "emomtl_samplers",
    "weighting": "emomtl_weightings",
    "head": "emomtl_heads",
    "objective": "emomtl_objectives",
    "encoder": "emomtl_encoders",
    "change": "emomtl_encoder_changes",
    "feature": "emomtl_features",
    "manifest": "emomtl_manifests",
    "study": "emomtl_studies",
    "claims": "emomtl_claims",
}
"""What can be offered, and the hook that asks for it."""


class EntryPointLike(Protocol):
    """What is read of an entry point; `importlib.metadata.EntryPoint` is one."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def dist(self) -> Any: ...
    def load(self) -> Any: ...


@dataclass(frozen=True)
class Offer:
    """Something that a plugin offers: its kind and name, the thing itself, and who offers it."""

    kind: str
    name: str
    value: Any
    plugin: Plugin


@dataclass
class Plugin:
    """One imported plugin module, with the distribution that it comes from, and its hooks."""

    module: ModuleType
    label: str
    distribution: str
    version: str
    manager: pluggy.PluginManager
    file: Path | None = None

    def offers(self, kind: str) -> list[Offer]:
        """What the plugin offers of a kind; a hook that raises, or names a thing twice, is an error with the plugin's name."""
        hook = KINDS[kind]
        try:
            answers = getattr(self.manager.hook, hook)()
            pairs = [pair for answer in answers for pair in _named(answer)]
        except EmomtlError:
            raise
        except Exception as error:
            raise EmomtlError(
                Problem(self.label, f"{hook} raised {type(error).__name__}: {clean(str(error))}", "mend the plugin")
            ) from error
        names = [name for name, _ in pairs]
        for name in names:
            if not isinstance(name, str) or names.count(name) > 1:
                raise EmomtlError(Problem(self.label, f"{hook} offers {kind} '{name}' twice", "a name stands for one thing"))
        return [Offer(kind, name, value, self) for name, value in pairs]

    def record(self) -> dict[str, str]:
        """What a run writes down: distribution, version, module and the SHA-256 of its file."""
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest() if self.file and self.file.is_file() else ""
        return {"distribution": self.distribution, "version": self.version, "module": self.module.__name__, "sha256": digest}


def _named(answer: Any) -> list[tuple[str, Any]]:
    """An answer of an offering hook as pairs of name and thing."""
    if isinstance(answer, Mapping):
        return list(answer.items())
    return [(thing.name, thing) for thing in answer]


class Plugins:
    """The installed plugins, by metadata; `offer` imports what a name needs. Made and passed, never global."""

    def __init__(self, entry_points: Iterable[EntryPointLike]) -> None:
        self._entry_points = list(entry_points)
        self._loaded: dict[str, Plugin] = {}
        self._active: dict[str, Plugin] = {}
        self.broken: dict[str, str] = {}
        self.notes: list[str] = []

    @classmethod
    def discover(cls) -> Plugins:
        """What is installed in this environment; nothing is imported."""
        found: dict[tuple[str, str], EntryPointLike] = {}
        for entry in importlib.metadata.entry_points(group=GROUP):
            found.setdefault((entry.name, entry.value), entry)
        return cls(found.values())

    # -- offers ---------------------------------------------------------------------------------------------------

    def offer(self, kind: str, name: str) -> Offer:
        """What goes by this name; its plugin becomes active. Unknown, broken and twice offered names are errors."""
        found = self._matching(kind, name, [entry for entry in self._entry_points if entry.name == name])
        if not found:
            self.offers(kind)  # imports the rest, and puts aside the plugins whose offers do not work
            found = self._matching(kind, name, [entry for entry in self._entry_points if _label(entry) not in self.broken])
            for offer in found:
                if offer.plugin.distribution:
                    entry = f'[project.entry-points.emomtl] {name} = "{offer.plugin.module.__name__}"'
                    self.notes.append(f"{kind} '{name}' has no entry point of its own; its author should add {entry}")
        if not found:
            raise self._unknown(kind, name)
        if len(found) > 1:
            who = " and ".join(sorted(offer.plugin.label for offer in found))
            raise EmomtlError(Problem(f"{kind} '{name}'", f"is offered by {who}", "uninstall one of them"))
        self._active[found[0].plugin.label] = found[0].plugin
        return found[0]

    def _matching(self, kind: str, name: str, entries: Sequence[EntryPointLike]) -> list[Offer]:
        plugins = {plugin.label: plugin for plugin in map(self._load, entries) if plugin is not None}
        plugins |= {plugin.label: plugin for plugin in self._loaded.values() if not plugin.distribution}
        return [offer for plugin in plugins.values() for offer in plugin.offers(kind) if offer.name == name]

    def _unknown(self, kind: str, name: str) -> EmomtlError:
        needed = [_label(entry) for entry in self._entry_points if entry.name == name and _label(entry) in self.broken]
        if needed:
            found = f"the plugin of {kind} '{name}', {needed[0]}, does not import: {self.broken[needed[0]]}"
            return EmomtlError(Problem("", found, "mend or uninstall the plugin"))
        remedy = suggest(name, self.offers(kind))
        if self.broken:
            remedy += f"; {len(self.broken)} plugin(s) do not import, see `emomtl plugins`"
        return EmomtlError(Problem("", f"{kind} '{clean(name)}' is not installed", remedy))

    def offers(self, kind: str) -> dict[str, Offer]:
        """Everything of a kind that imports, by name; plugins that do not import are in `broken`."""
        found: dict[str, Offer] = {}
        for entry in self._entry_points:
            self._load(entry)
        for plugin in self._loaded.values():
            try:
                for offer in plugin.offers(kind):
                    found.setdefault(offer.name, offer)
            except EmomtlError as error:
                self.broken[plugin.label] = str(error)
        return dict(sorted(found.items()))

    def apart(self) -> Plugins:
        """The same plugins for another run, in which none is active yet."""
        other = copy.copy(self)
        other._active = {}
        return other

    # -- activation -----------------------------------------------------------------------------------------------

    def activate(self, name: str, folder: Path) -> None:
        """Make a plugin hear events: a distribution's name, or a single file (ending in .py, relative to `folder`)."""
        if name.endswith(".py"):
            plugin = self._load_file((folder / name).resolve() if not Path(name).is_absolute() else Path(name))
            self._active[plugin.label] = plugin
            return
        entries = [entry for entry in self._entry_points if _normal(_distribution(entry)[0]) == _normal(name)]
        if not entries:
            known = {_distribution(entry)[0] for entry in self._entry_points}
            raise EmomtlError(
                Problem("plugins", f"no installed distribution '{clean(name)}' has emomtl plugins", suggest(name, known))
            )
        for entry in entries:
            loaded = self._load(entry)
            if loaded is None:
                raise EmomtlError(
                    Problem("plugins", f"{_label(entry)} does not import: {self.broken[_label(entry)]}", "mend the plugin")
                )
            self._active[loaded.label] = loaded

    @property
    def active(self) -> list[Plugin]:
        """The plugins that this run uses, in the order in which they were named."""
        return list(self._active.values())

    def tell(self, event: str, **facts: Any) -> list[Any]:
        """Call an event hook of every active plugin; one that raises ends the run with its name. Returns the answers."""
        answers: list[Any] = []
        for plugin in self.active:
            try:
                answers += getattr(plugin.manager.hook, event)(**facts)
            except Exception as error:
                found = f"raised {type(error).__name__} in {event}: {clean(str(error), 200)}"
                raise EmomtlError(
                    Problem(f"plugin {plugin.label}", found, "mend the plugin, or take it out of the manifest")
                ) from error
        return answers

    # -- loading --------------------------------------------------------------------------------------------------

    def entries(self) -> list[tuple[str, str, str]]:
        """(name, module, distribution and version) of every entry point, without importing anything."""
        return sorted((entry.name, entry.value, " ".join(_distribution(entry))) for entry in self._entry_points)

    def _load(self, entry: EntryPointLike) -> Plugin | None:
        label = _label(entry)
        if label in self._loaded or label in self.broken:
            return self._loaded.get(label)
        distribution, version = _distribution(entry)
        try:
            module = entry.load()
            self._loaded[label] = _plugin(module, label, distribution, version)
        except (Exception, SystemExit) as error:  # whatever a stranger's import does, it is their plugin that is broken
            self.broken[label] = (
                str(error) if isinstance(error, EmomtlError) else f"{type(error).__name__}: {clean(str(error), 200)}"
            )
            return None
        return self._loaded[label]

    def _load_file(self, path: Path) -> Plugin:
        if str(path) in self._loaded:
            return self._loaded[str(path)]
        if not path.is_file():
            raise EmomtlError(Problem("plugins", f"{path} is not a file", "a plugin file is named relative to the manifest"))
        name = f"emomtl_file_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{re.sub(r'[^A-Za-z0-9]', '_', path.stem)}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise EmomtlError(
                Problem("plugins", f"{path} does not import: {type(error).__name__}: {clean(str(error), 200)}", "mend the file")
            ) from error
        self._loaded[str(path)] = _plugin(module, str(path), "", "")
        return self._loaded[str(path)]


def _plugin(module: ModuleType, label: str, distribution: str, version: str) -> Plugin:
    """Register a module with pluggy; a misspelt hook or argument is an error that names the plugin and the hook."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=label)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = [name for name in vars(hookspecs) if name.startswith("emomtl_")]
        unknown = re.search(r"unknown hook '(\w+)'", str(error))
        remedy = suggest(unknown.group(1), known) if unknown else "look at emomtl/hookspecs.py for the arguments"
        found = f"unknown hook '{unknown.group(1)}'" if unknown else clean(str(error).replace("\n", " "), 200)
        raise EmomtlError(Problem(f"plugin {label}", found, remedy)) from error
    file = getattr(module, "__file__", None)
    return Plugin(module, label, distribution, version, manager, Path(file) if file else None)


def _distribution(entry: EntryPointLike) -> tuple[str, str]:
    dist = getattr(entry, "dist", None)
    return (dist.name, dist.version) if dist is not None else ("unknown", "")


def _label(entry: EntryPointLike) -> str:
    distribution, version = _distribution(entry)
    return f"{entry.value} ({distribution} {version})".replace(" )", ")")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
