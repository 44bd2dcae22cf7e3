"""What a run runs on, written down at its start; and what differs from that where it is resumed."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import emomtl
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.manifest import Manifest, differences
from emomtl.model.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.data.corpus import TaskData
    from emomtl.fusion import Fusion
    from emomtl.run import Run

COUNTS = ("emomtl", "python", "torch", "transformers", "numpy", "system", "device", "device_name", "precision", "threads")
"""What may change the last digits of a sum, and so the bits of a result."""


def environment(plan: Plan, data: TaskData, device: str, precision: str, fusion: Fusion, ranks: Ranks = ALONE) -> dict[str, Any]:
    """What a run writes down of where it ran and on what."""
    import numpy
    import transformers

    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {
        "emomtl": emomtl.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": numpy.__version__,
        "system": platform.system(),
        "device": device,
        "device_name": name,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "processes": ranks.size,
        "plugins": {plugin.label: plugin.record() for plugin in plan.plugins.active},
        "data": data.fingerprints,
        "sizes": data.sizes,
        "pairs": [task for task in plan.tasks if data.corpus(task).splits["train"].pairs is not None],
        "dropped_leaks": {task: found.as_json() for task, found in data.leaks.items()},
        **({"label_noise": {task: found.as_json() for task, found in data.noise.items()}} if data.noise else {}),
        **({"features": fusion.digests} if fusion.features else {}),
    }


def differing(run: Run, manifest: Manifest, now: Mapping[str, Any], allowed: Collection[str]) -> bool:
    """Whether anything differs from the run's start; refused unless `--allow-changed KEY` lets the key (or one above it) pass."""
    problems = []
    before, after = run.manifest.model_dump(mode="json"), manifest.model_dump(mode="json")
    for place, old, new in differences(before, after):
        if place != "devices":  # how many processes share the work is no part of what a run is
            problems.append((place, f"was {old!r}, is {new!r}"))
    for task, digest in run.environment.get("data", {}).items():
        if now["data"].get(task) != digest:
            problems.append((f"data.{task}", "the corpus has changed since the run began"))
    was = {_plugin_key(label, record): record["sha256"] for label, record in run.environment.get("plugins", {}).items()}
    for label, record in now["plugins"].items():
        key = _plugin_key(label, record)
        if was.get(key, record["sha256"]) != record["sha256"]:
            problems.append((f"plugins.{key}", "its code has changed since the run began"))
    refused = [p for p in problems if not any(p[0] == key or p[0].startswith(f"{key}.") for key in allowed)]
    if refused:
        said = (Problem(place, found, f"undo it, or `--allow-changed {place}`") for place, found in refused)
        raise EmomtlError(*said)
    return bool(problems)


def elsewhere(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What may change the bits of a result and is not what the run began with, by name: what it was, and what it is."""
    found = {key: [before[key], now[key]] for key in COUNTS if key in before and before[key] != now[key]}
    was = {_plugin_key(label, record): record.get("version") for label, record in before.get("plugins", {}).items()}
    for label, record in now["plugins"].items():
        key = _plugin_key(label, record)
        if key in was and was[key] != record.get("version") and record["distribution"] != "emomtl":  # named as emomtl already
            found[key] = [was[key], record.get("version")]
    return found


def in_words(other: Mapping[str, list[Any]]) -> str:
    """One line on what `elsewhere` found, and on what that does to the promise of an equal result."""
    listed = ", ".join(f"{key} was {clean(str(was))} and is {clean(str(now))}" for key, (was, now) in other.items())
    return f"resumed elsewhere: {listed}; from here on the result is that of an unbroken run up to rounding, not bit for bit"


def _plugin_key(label: str, record: Mapping[str, Any]) -> str:
    """A plugin's module, or the name of its single file, wherever that lies."""
    return str(record["module"]) if record["distribution"] else Path(label).name
