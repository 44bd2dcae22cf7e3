"""What a run runs on, written down at its start; and what differs from that where it is resumed."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import Manifest, differences
from emomtl.manifest.models import PretrainTable, StartTable
from emomtl.model.parallel.ranks import ALONE, Ranks
from emomtl.version import __version__

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.data.corpus import TaskData
    from emomtl.inference.feature_vectors import FittedFeatures
    from emomtl.run import Run

COUNTS = ("emomtl", "python", "torch", "transformers", "numpy", "system", "device", "device_name", "precision", "threads")
"""What may change the last digits of a sum, and so the bits of a result."""


LEFT_OUT = {
    *(f"start.{key}" for key in StartTable.model_fields),
    *(f"pretrain.{key}" for key in PretrainTable.model_fields),
}
"""The places in tables that a manifest may lack as a whole: a study allows `start.run` for every run of its own."""


def environment(
    plan: Plan, data: TaskData, device: str, precision: str, features: FittedFeatures, ranks: Ranks = ALONE
) -> dict[str, Any]:
    """What a run writes down of where it ran and on what."""
    import numpy
    import transformers

    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {
        "emomtl": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": numpy.__version__,
        "system": platform.system(),
        "device": device,
        "device_name": name,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "processes": ranks.world_size,
        "plugins": {plugin.label: plugin.record() for plugin in plan.plugins.active},
        "data": data.fingerprints,
        "sizes": data.sizes,
        "pairs": [task for task in plan.tasks if data.corpus(task).splits["train"].pairs is not None],
        "dropped_leaks": {task: found.as_json() for task, found in data.leaks.items()},
        **({"label_noise": {task: found.as_json() for task, found in data.noise.items()}} if data.noise else {}),
        **({"features": features.digests} if features.fitted else {}),
    }


@dataclass(frozen=True)
class Change:
    """A place at which a resumed run differs from its record: what was there and what is there now.

    `counts` is False where only files were moved and their content is the same: then the run is the same.
    """

    place: str
    old: Any
    new: Any
    counts: bool = True

    def __str__(self) -> str:
        if self.place.startswith(("data.", "plugins.")):
            what = "the corpus" if self.place.startswith("data.") else "its code"
            return f"{what} has changed since the run began"
        return f"was {self.old!r}, is {self.new!r}"


def differing(run: Run, manifest: Manifest, now: Mapping[str, Any], allowed: Collection[str]) -> list[Change]:
    """What differs from the run's record; refused unless `--allow-changed KEY` lets the key (or one above it) pass.

    A key that is no place of a manifest, and none of the rows or plugins, is refused too.
    """
    before, after = run.manifest.model_dump(mode="json"), manifest.model_dump(mode="json")
    rows = [Change(f"data.{task}", digest, now["data"].get(task)) for task, digest in run.environment.get("data", {}).items()]
    was = {_plugin_key(label, record): record["sha256"] for label, record in run.environment.get("plugins", {}).items()}
    here = {_plugin_key(label, record): record["sha256"] for label, record in now["plugins"].items()}
    code = [Change(f"plugins.{key}", was.get(key, digest), digest) for key, digest in here.items()]
    other = [one for one in (*rows, *code) if one.old != one.new]
    changed = {one.place for one in other}
    found = [
        Change(place, old, new, counts=not _moved(place, changed))
        for place, old, new in differences(before, after)
        if place != "devices"  # how many processes share the work is no part of what a run is
    ]
    known = {"data", "plugins", *(f"data.{task}" for task in now["data"]), *(f"plugins.{key}" for key in {**was, **here})}
    _check_keys(allowed, known.union(_places(before), _places(after), LEFT_OUT))
    found += other
    refused = [one for one in found if one.counts and not any(f"{one.place}.".startswith(f"{key}.") for key in allowed)]
    if refused:
        raise EmomtlError(*(Problem(one.place, str(one), f"undo it, or `--allow-changed {one.place}`") for one in refused))
    return found


def _moved(place: str, changed: Collection[str]) -> bool:
    """Whether a place of a manifest only says where files lie, and the rows that were read there are the same."""
    parts = place.split(".")
    source = len(parts) == 3 and parts[0] == "tasks" and parts[2] == "source"
    return place == "folder" or (source and f"data.{parts[1]}" not in changed)


def _check_keys(allowed: Collection[str], known: Collection[str]) -> None:
    """Refuse keys of `--allow-changed` at which nothing could differ, such as misspelt ones."""
    wrong = [key for key in allowed if key not in known]
    if wrong:
        raise EmomtlError(*(Problem("--allow-changed", f"there is no {clean(key)!r} here", suggest(key, known)) for key in wrong))


def _places(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every place of a manifest, and of the tables in it, by dots."""
    for key, value in table.items():
        place = f"{above}{key}"
        yield place
        if isinstance(value, Mapping):
            yield from _places(value, f"{place}.")


def amended(run: Run, now: Mapping[str, Any], changes: Sequence[Change], step: int) -> dict[str, Any]:
    """The environment of a run that goes on from `step` with changes: what it is now, and what it was under `changes`.

    Each entry of `changes` has the step up to which the old values held, those of the manifest by place
    (with the new ones), and those of the environment by name.
    """
    manifest = {one.place: [one.old, one.new] for one in changes if not one.place.startswith(("data.", "plugins."))}
    old = {key: value for key, value in run.environment.items() if key != "changes" and now.get(key) != value}
    entry = {"step": step, "manifest": manifest, "environment": old}
    return {**now, "changes": [*run.environment.get("changes", []), entry]}


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
