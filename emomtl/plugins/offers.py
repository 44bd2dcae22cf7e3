"""What plugins offer: the kinds of offers, and one imported plugin module with its hooks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from emomtl.contracts import hookspecs
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.safety.untrusted import sha256_of

GROUP = "emomtl"
"""The group of entry points in which plugins are found, and the project name of their hooks."""

KINDS = {
    "task": "emomtl_tasks",
    "sampler": "emomtl_samplers",
    "weighting": "emomtl_weightings",
    "head": "emomtl_heads",
    "objective": "emomtl_objectives",
    "encoder": "emomtl_encoders",
    "change": "emomtl_encoder_changes",
    "feature": "emomtl_features",
    "analysis": "emomtl_analyses",
    "manifest": "emomtl_manifests",
    "study": "emomtl_studies",
    "claims": "emomtl_claims",
    "exporter": "emomtl_exporters",
}
"""What can be offered, and the hook that asks for it."""


@dataclass(frozen=True)
class Offer:
    """Something that a plugin offers: its kind, its name, and the thing itself."""

    kind: str
    name: str
    value: Any
    plugin: Plugin


@dataclass
class Plugin:
    """One imported plugin module, with the distribution that it comes from, and its hooks.

    `distribution` and `version` are empty for a single file. `label` names the plugin in messages.
    """

    module: ModuleType
    label: str
    distribution: str = ""
    version: str = ""
    manager: pluggy.PluginManager = field(init=False)
    _offers: dict[str, dict[str, Offer]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Register the hooks; a misspelt hook or argument is an error that names the plugin."""
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        try:
            self.manager.register(self.module, name=self.label)
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise EmomtlError(_invalid_hook(self.label, str(error))) from error

    @property
    def file(self) -> Path | None:
        """The file of the module; None for one that has none, such as a namespace package."""
        path = getattr(self.module, "__file__", None)
        return Path(path) if path else None

    def offers(self, kind: str) -> dict[str, Offer]:
        """What the plugin offers of a kind, by name; its hook is called once.

        A hook that raises, or offers a name twice, is an error that names the plugin.
        """
        if kind not in self._offers:
            self._offers[kind] = self._call_hook(kind)
        return self._offers[kind]

    def _call_hook(self, kind: str) -> dict[str, Offer]:
        hook = KINDS[kind]
        pairs: list[tuple[Any, Any]] = []
        try:
            for result in getattr(self.manager.hook, hook)():
                # Hooks return a mapping by name, or things that know their name, such as tasks.
                is_mapping = isinstance(result, Mapping)
                pairs += result.items() if is_mapping else [(thing.name, thing) for thing in result]
        except EmomtlError:
            raise
        except Exception as error:
            found = f"{hook} raised {type(error).__name__}: {clean(str(error))}"
            raise EmomtlError(Problem(self.label, found, "mend the plugin")) from error
        for name, count in Counter(name for name, _ in pairs).items():
            if not isinstance(name, str):
                found = f"{hook} offers a {kind} without a name"
                raise EmomtlError(Problem(self.label, found, "give it a name"))
            if count > 1:
                found = f"{hook} offers {kind} '{clean(name)}' twice"
                raise EmomtlError(Problem(self.label, found, "a name stands for one thing"))
        return {name: Offer(kind, name, value, self) for name, value in pairs}

    def record(self) -> dict[str, str]:
        """What a run writes down: distribution, version, module and the SHA-256 of its file."""
        digest = sha256_of(self.file) if self.file and self.file.is_file() else ""
        return {
            "distribution": self.distribution,
            "version": self.version,
            "module": self.module.__name__,
            "sha256": digest,
        }


def _invalid_hook(label: str, error: str) -> Problem:
    """The problem of a plugin that pluggy refuses, with the name that was probably meant."""
    unknown = re.search(r"unknown hook '(\w+)'", error)
    if unknown is None:
        remedy = "look at emomtl/contracts/hookspecs.py for the arguments"
        return Problem(f"plugin {label}", clean(error.replace("\n", " "), 200), remedy)
    known = [name for name in vars(hookspecs) if name.startswith("emomtl_")]
    name = unknown.group(1)
    return Problem(f"plugin {label}", f"unknown hook '{name}'", suggest(name, known))


def clash(offers: Sequence[Offer]) -> EmomtlError:
    """The error of a name that several plugins offer."""
    labels = " and ".join(sorted(offer.plugin.label for offer in offers))
    place = f"{offers[0].kind} '{clean(offers[0].name)}'"
    return EmomtlError(Problem(place, f"is offered by {labels}", "uninstall one of them"))
