"""Plugins, found by name in package metadata and imported on demand; one that is broken breaks only who needs it."""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import importlib.util
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import pluggy

from emomtl.contracts import hookspecs
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.safety.untrusted import sha256_of

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

SLOW_SECONDS, SLOW_SHARE = 5.0, 0.05
"""A listener is slow, and is said to be once, where it has taken more than both: seconds, and a share of the run's time."""


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
    asked: dict[str, dict[str, Offer]] = field(default_factory=dict)

    def offers(self, kind: str) -> dict[str, Offer]:
        """What the plugin offers of a kind, by name; it is asked once.

        A hook that raises, or names a thing twice, is an error with the plugin's name.
        """
        if kind not in self.asked:
            self.asked[kind] = self._ask(kind)
        return self.asked[kind]

    def _ask(self, kind: str) -> dict[str, Offer]:
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
        for name, times in Counter(name for name, _ in pairs).items():
            if times > 1 or not isinstance(name, str):
                found = (
                    f"{hook} offers {kind} '{clean(str(name))}' twice" if times > 1 else f"{hook} offers a {kind} without a name"
                )
                raise EmomtlError(Problem(self.label, found, "a name stands for one thing"))
        return {name: Offer(kind, name, value, self) for name, value in pairs}

    def record(self) -> dict[str, str]:
        """What a run writes down: distribution, version, module and the SHA-256 of its file."""
        digest = sha256_of(self.file) if self.file and self.file.is_file() else ""
        return {"distribution": self.distribution, "version": self.version, "module": self.module.__name__, "sha256": digest}


def _named(answer: Any) -> list[tuple[str, Any]]:
    """An answer of an offering hook as pairs of name and thing."""
    if isinstance(answer, Mapping):
        return list(answer.items())
    return [(thing.name, thing) for thing in answer]


@dataclass
class Heard:
    """What an event cost in one plugin: how often it was told, and seconds in all and of the slowest time."""

    plugin: str
    event: str
    calls: int = 0
    seconds: float = 0.0
    slowest: float = 0.0

    def __str__(self) -> str:
        times = f"{self.calls:,} call" + ("s" if self.calls != 1 else "")
        return f"{self.plugin} in {self.event}: {times}, {self.seconds:.3f} s, the slowest {self.slowest:.3f} s"


class Plugins:
    """The installed plugins, by metadata; `offer` imports what a name needs. Made and passed, never global.

    `trust` says whether a finished run's own plugin files are run when it is opened: True, or the SHA-256 of those that are.
    """

    def __init__(self, entry_points: Iterable[EntryPointLike], trust: bool | Collection[str] = False) -> None:
        self._entry_points = list(entry_points)
        self._trust = trust
        self._loaded: dict[str, Plugin] = {}
        self._labels: dict[int, str] = {}
        self._facts: dict[int, tuple[Any, tuple[str, str]]] = {}
        self.broken: dict[str, str] = {}
        self.notes: list[str] = []
        self._begin()

    def _begin(self) -> None:
        """As before a run: no plugin is active, none has heard anything."""
        self._active: dict[str, Plugin] = {}
        self._used: dict[tuple[str, str], Offer] = {}
        self._heard: dict[tuple[str, str], Heard] = {}
        self._slow: set[str] = set()
        self._since = time.monotonic()

    @classmethod
    def discover(cls, trust: bool | Collection[str] = False) -> Plugins:
        """What is installed in this environment; nothing is imported. `trust` is for plugin files that runs bring along."""
        found: dict[tuple[str, str], list[EntryPointLike]] = {}
        for entry in importlib.metadata.entry_points(group=GROUP):
            same = found.setdefault((entry.name, entry.value), [])
            # One distribution may be found in two places; two that claim the same module stay two, and clash.
            if not same or _normal(_distribution(entry)[0]) not in {_normal(_distribution(one)[0]) for one in same}:
                same.append(entry)
        return cls((entry for same in found.values() for entry in same), trust)

    def trusts(self, file: Path) -> bool:
        """Whether a plugin file that a run brings along may be run."""
        return self._trust if isinstance(self._trust, bool) else file.is_file() and sha256_of(file) in self._trust

    # -- offers ---------------------------------------------------------------------------------------------------

    def offer(self, kind: str, name: str) -> Offer:
        """What goes by this name; its plugin becomes active. Unknown, broken and twice offered names are errors."""
        found = self._matching(kind, name, [entry for entry in self._entry_points if entry.name == name])
        if not found:
            self.offers(kind)  # imports the rest, and puts aside the plugins whose offers do not work
            found = self._matching(kind, name, [entry for entry in self._entry_points if self._label(entry) not in self.broken])
            for offer in found:
                if offer.plugin.distribution:
                    entry = f'[project.entry-points.emomtl] {name} = "{offer.plugin.module.__name__}"'
                    self.notes.append(f"{kind} '{name}' has no entry point of its own; its author should add {entry}")
        if not found:
            raise self._unknown(kind, name)
        if len(found) > 1:
            raise _clash(found)
        self._activate(found[0].plugin)
        self._used[kind, name] = found[0]
        return found[0]

    def _matching(self, kind: str, name: str, entries: Sequence[EntryPointLike]) -> list[Offer]:
        plugins = {plugin.label: plugin for plugin in map(self._load, entries) if plugin is not None}
        plugins |= self._active
        return [offers[name] for plugin in plugins.values() if name in (offers := plugin.offers(kind))]

    def _unknown(self, kind: str, name: str) -> EmomtlError:
        labels = [self._label(entry) for entry in self._entry_points if entry.name == name]
        needed = [label for label in labels if label in self.broken]
        if needed:
            found = f"the plugin of {kind} '{name}', {needed[0]}, does not import: {self.broken[needed[0]]}"
            return EmomtlError(Problem("", found, "mend or uninstall the plugin"))
        remedy = suggest(name, self.offers(kind))
        if self.broken:
            remedy += f"; {len(self.broken)} plugin(s) do not import, see `emomtl plugins`"
        return EmomtlError(Problem("", f"{kind} '{clean(name)}' is not installed", remedy))

    def offers(self, kind: str) -> dict[str, Offer]:
        """Everything of a kind that imports, by name; plugins that do not import are in `broken`.

        Of a name that several offer the first is given, and a note says so: who uses the name gets an error.
        """
        found: dict[str, list[Offer]] = {}
        for entry in self._entry_points:
            self._load(entry)
        for plugin in self._loaded.values():
            try:
                for name, offer in plugin.offers(kind).items():
                    found.setdefault(name, []).append(offer)
            except EmomtlError as error:
                self.broken[plugin.label] = str(error)
        for several in found.values():
            if len(several) > 1 and (said := str(_clash(several))) not in self.notes:
                self.notes.append(said)
        return {name: several[0] for name, several in sorted(found.items())}

    def apart(self) -> Plugins:
        """The same plugins for another run, in which none is active yet."""
        other = copy.copy(self)
        other._begin()
        return other

    # -- activation -----------------------------------------------------------------------------------------------

    def activate(self, name: str, folder: Path) -> None:
        """Make a plugin hear events: a distribution's name, or a single file (ending in .py, relative to `folder`)."""
        if name.endswith(".py"):
            self._activate(self._load_file((folder / name).resolve() if not Path(name).is_absolute() else Path(name)))
            return
        entries = [entry for entry in self._entry_points if _normal(self._distribution(entry)[0]) == _normal(name)]
        if not entries:
            known = {self._distribution(entry)[0] for entry in self._entry_points}
            raise EmomtlError(
                Problem("plugins", f"no installed distribution '{clean(name)}' has emomtl plugins", suggest(name, known))
            )
        for entry in entries:
            loaded = self._load(entry)
            if loaded is None:
                label = self._label(entry)
                raise EmomtlError(Problem("plugins", f"{label} does not import: {self.broken[label]}", "mend the plugin"))
            self._activate(loaded)

    def _activate(self, plugin: Plugin) -> None:
        """Make a plugin active; where it offers a name that the run has from another one, that is an error."""
        if plugin.label not in self._active:
            for (kind, name), used in self._used.items():
                if (other := plugin.offers(kind).get(name)) is not None:
                    raise _clash([used, other])
            self._active[plugin.label] = plugin

    @property
    def active(self) -> list[Plugin]:
        """The plugins that this run uses, in the order in which they were named."""
        return list(self._active.values())

    def tell(self, event: str, **facts: Any) -> list[Any]:
        """Call an event hook of every active plugin, on the clock; one that raises ends the run with its name.

        Returns the answers.
        """
        answers: list[Any] = []
        for plugin in self.active:
            hook = getattr(plugin.manager.hook, event)
            if not hook.get_hookimpls():
                continue
            heard = self._heard.setdefault((plugin.label, event), Heard(plugin.label, event))
            began = time.perf_counter()
            try:
                answers += hook(**facts)
            except Exception as error:
                found = f"raised {type(error).__name__} in {event}: {clean(str(error), 200)}"
                raise EmomtlError(
                    Problem(f"plugin {plugin.label}", found, "mend the plugin, or take it out of the manifest")
                ) from error
            finally:
                spent = time.perf_counter() - began
                heard.calls, heard.seconds, heard.slowest = heard.calls + 1, heard.seconds + spent, max(heard.slowest, spent)
        return answers

    @property
    def heard(self) -> list[Heard]:
        """What every event has cost in every plugin that listens to it, since this process began the run."""
        return list(self._heard.values())

    def slow(self) -> list[str]:
        """A sentence for each plugin that has become slow since the last time."""
        taken: dict[str, float] = defaultdict(float)
        for one in self._heard.values():
            taken[one.plugin] += one.seconds
        so_far = time.monotonic() - self._since
        new = [name for name, spent in taken.items() if spent > max(SLOW_SECONDS, SLOW_SHARE * so_far) and name not in self._slow]
        self._slow.update(new)
        return [
            f"slow listener: plugin {name} has taken {taken[name]:.1f} of {so_far:.1f} s so far "
            f"({'; '.join(f'{one.event} {one.calls:,} times, {one.seconds:.1f} s' for one in self.heard if one.plugin == name)})"
            for name in new
        ]

    # -- loading --------------------------------------------------------------------------------------------------

    def entries(self) -> list[tuple[str, str, str]]:
        """(name, module, distribution and version) of every entry point, without importing anything."""
        return sorted((entry.name, entry.value, " ".join(self._distribution(entry))) for entry in self._entry_points)

    def _label(self, entry: EntryPointLike) -> str:
        """The name of an entry's plugin in messages."""
        if id(entry) not in self._labels:
            distribution, version = self._distribution(entry)
            self._labels[id(entry)] = f"{entry.value} ({distribution} {version})".replace(" )", ")")
        return self._labels[id(entry)]

    def _distribution(self, entry: EntryPointLike) -> tuple[str, str]:
        """The name and the version of an entry's distribution, whose metadata is a file that is read once."""
        dist = getattr(entry, "dist", None)
        if id(dist) not in self._facts:
            self._facts[id(dist)] = dist, _distribution(entry)
        return self._facts[id(dist)][1]

    def _load(self, entry: EntryPointLike) -> Plugin | None:
        label = self._label(entry)
        if label in self._loaded or label in self.broken:
            return self._loaded.get(label)
        distribution, version = self._distribution(entry)
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
        remedy = suggest(unknown.group(1), known) if unknown else "look at emomtl/contracts/hookspecs.py for the arguments"
        found = f"unknown hook '{unknown.group(1)}'" if unknown else clean(str(error).replace("\n", " "), 200)
        raise EmomtlError(Problem(f"plugin {label}", found, remedy)) from error
    file = getattr(module, "__file__", None)
    return Plugin(module, label, distribution, version, manager, Path(file) if file else None)


def _distribution(entry: EntryPointLike) -> tuple[str, str]:
    dist = getattr(entry, "dist", None)
    return (dist.name, dist.version) if dist is not None else ("unknown", "")


def _clash(several: Sequence[Offer]) -> EmomtlError:
    """The error of a name that several plugins offer."""
    who = " and ".join(sorted(offer.plugin.label for offer in several))
    one = several[0]
    return EmomtlError(Problem(f"{one.kind} '{clean(one.name)}'", f"is offered by {who}", "uninstall one of them"))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
