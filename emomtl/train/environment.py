"""What a run runs on: recorded at its start, and compared where it is resumed."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import Manifest, differences
from emomtl.manifest.models import PretrainTable, StartTable
from emomtl.model.encoder import save_encoder
from emomtl.model.parallel.ranks import ALONE, Ranks
from emomtl.safety.files import storage, write_bytes
from emomtl.version import __version__

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.data.corpus import TaskData
    from emomtl.inference.feature_vectors import FittedFeatures
    from emomtl.model.loaded import LoadedEncoder
    from emomtl.run import Run

ROUNDING = (
    "emomtl",
    "python",
    "torch",
    "transformers",
    "numpy",
    "system",
    "device",
    "device_name",
    "precision",
    "threads",
)
"""Facts that may change the last digits of a sum, and so the bits of a result."""

OPTIONAL_KEYS = {
    *(f"start.{key}" for key in StartTable.model_fields),
    *(f"pretrain.{key}" for key in PretrainTable.model_fields),
}
"""Keys of tables that a manifest may lack: a study allows `start.run` for each of its runs."""


@dataclass(frozen=True)
class Machine:
    """Where a run computes: `device` (cpu or cuda) and `precision` (fp32 or bf16)."""

    device: str
    precision: str


def environment(
    plan: Plan, data: TaskData, machine: Machine, features: FittedFeatures, ranks: Ranks = ALONE
) -> dict[str, Any]:
    """The content of `environment.json`: versions, machine, plugins, digests of rows."""
    import numpy
    import transformers

    if machine.device == "cuda":
        device_name = torch.cuda.get_device_name()
    else:
        device_name = platform.processor() or platform.machine()
    train_splits = {task: data.corpus(task).splits["train"] for task in plan.tasks}
    facts: dict[str, Any] = {
        "emomtl": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": numpy.__version__,
        "system": platform.system(),
        "device": machine.device,
        "device_name": device_name,
        "precision": machine.precision,
        "threads": torch.get_num_threads(),
        "processes": ranks.world_size,
        "plugins": {plugin.label: plugin.record() for plugin in plan.plugins.active},
        "data": data.fingerprints,
        "sizes": data.sizes,
        "pairs": [task for task, split in train_splits.items() if split.pairs is not None],
        "dropped_leaks": {task: leaks.as_json() for task, leaks in data.leaks.items()},
    }
    if data.noise:
        facts["label_noise"] = {task: noise.as_json() for task, noise in data.noise.items()}
    if features.fitted:
        facts["features"] = features.digests
    return facts


def keep_files(encoder: LoadedEncoder, plan: Plan, run: Run, features: FittedFeatures) -> None:
    """Write what the run needs to open from its own folder alone.

    That is the encoder's configuration and tokenizer, features, and single-file plugins.
    """
    features.keep(run.folder)
    keep_plugins(plan, run)
    run.keep_encoder(partial(_save_encoder, encoder))


def keep_plugins(plan: Plan, run: Run) -> None:
    """Write the single-file plugins into the run."""
    folder = run.folder / "plugins"
    for plugin in plan.plugins.active:
        if not plugin.distribution and plugin.file is not None:
            with storage(folder):
                folder.mkdir(exist_ok=True)
            write_bytes(folder / plugin.file.name, plugin.file.read_bytes())


def _save_encoder(encoder: LoadedEncoder, folder: Path) -> None:
    try:
        save_encoder(encoder, folder)
    except OSError:
        raise
    except Exception as error:
        # A full disk is a bare Exception of tokenizers; Run.keep_encoder knows RuntimeError.
        raise RuntimeError(str(error)) from error


@dataclass(frozen=True)
class Change:
    """A key at which a resumed run differs from its record.

    `matters` is False where files were only moved and their content is the same.
    """

    key: str
    old: Any
    new: Any
    matters: bool = True

    @property
    def in_manifest(self) -> bool:
        """Whether the key is one of the manifest, and not a digest of rows or of a plugin."""
        return not self.key.startswith(("data.", "plugins."))

    def __str__(self) -> str:
        if self.in_manifest:
            return f"was {self.old!r}, is {self.new!r}"
        changed = "the corpus" if self.key.startswith("data.") else "its code"
        return f"{changed} has changed since the run began"


def find_changes(
    run: Run, manifest: Manifest, now: Mapping[str, Any], allowed: Collection[str]
) -> list[Change]:
    """The differences between a run's record and what it would go on with.

    EmomtlError for each that matters, unless `allowed` (`--allow-changed`) has its key or one above
    it, and for keys in `allowed` that do not exist.
    """
    before, after = run.manifest.model_dump(mode="json"), manifest.model_dump(mode="json")
    recorded = _plugins(run.environment, "sha256")
    present = _plugins(now, "sha256")
    rows = run.environment.get("data", {})
    digests = [Change(f"data.{task}", rows[task], now["data"].get(task)) for task in rows]
    for plugin, digest in present.items():
        digests.append(Change(f"plugins.{plugin}", recorded.get(plugin, digest), digest))
    digests = [change for change in digests if change.old != change.new]
    changed_digests = {change.key for change in digests}
    changes = []
    for key, old, new in differences(before, after):
        if key != "devices":  # how many processes share the work is no part of what a run is
            changes.append(Change(key, old, new, not _only_moved(key, changed_digests)))
    changes += digests

    known = {"data", "plugins", *_keys(before), *_keys(after), *OPTIONAL_KEYS}
    known.update(f"data.{task}" for task in now["data"])
    known.update(f"plugins.{plugin}" for plugin in {**recorded, **present})
    problems = []
    for key in allowed:
        if key not in known:
            finding = f"there is no {clean(key)!r} here"
            problems.append(Problem("--allow-changed", finding, suggest(key, known)))
    for change in changes:
        is_allowed = any(f"{change.key}.".startswith(f"{key}.") for key in allowed)
        if change.matters and not is_allowed:
            remedy = f"undo it, or `--allow-changed {change.key}`"
            problems.append(Problem(change.key, str(change), remedy))
    if problems:
        raise EmomtlError(*problems)
    return changes


def _only_moved(key: str, changed_digests: Collection[str]) -> bool:
    """Whether a key only says where files are, and the rows read there are equal."""
    if key == "folder":
        return True
    parts = key.split(".")
    is_source = len(parts) == 3 and parts[0] == "tasks" and parts[2] == "source"
    return is_source and f"data.{parts[1]}" not in changed_digests


def _keys(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every key of a manifest and of the tables in it, joined by dots."""
    for name, value in table.items():
        key = f"{above}{name}"
        yield key
        if isinstance(value, Mapping):
            yield from _keys(value, f"{key}.")


def amended(
    run: Run, now: Mapping[str, Any], changes: Sequence[Change], step: int
) -> dict[str, Any]:
    """The environment of a run that goes on from `step` with changes.

    Each entry of its `changes` has the step up to which old values held, those of the manifest by
    key (with the new ones), and those of the environment by name.
    """
    manifest = {change.key: [change.old, change.new] for change in changes if change.in_manifest}
    before = {name: value for name, value in run.environment.items() if name != "changes"}
    old = {name: value for name, value in before.items() if now.get(name) != value}
    entry = {"step": step, "manifest": manifest, "environment": old}
    return {**now, "changes": [*run.environment.get("changes", []), entry]}


def rounding_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Facts that may change the bits of a result, where they differ: what each was, and is."""
    changes = {}
    for name in ROUNDING:
        if name in before and before[name] != now[name]:
            changes[name] = [before[name], now[name]]
    versions = _plugins(before, "version")
    for label, record in now["plugins"].items():
        plugin, version = _plugin_key(label, record), record.get("version")
        is_ours = record["distribution"] == "emomtl"  # whose version is a fact of its own
        if plugin in versions and versions[plugin] != version and not is_ours:
            changes[plugin] = [versions[plugin], version]
    return changes


def rounding_note(changes: Mapping[str, list[Any]]) -> str:
    """One line on `rounding_changes`, and on what they do to the promise of an equal result."""
    values = [(name, clean(str(old)), clean(str(new))) for name, (old, new) in changes.items()]
    listed = ", ".join(f"{name} was {old} and is {new}" for name, old, new in values)
    effect = "the result is that of an unbroken run up to rounding, not bit for bit"
    return f"resumed elsewhere: {listed}; from here on {effect}"


def _plugins(environment: Mapping[str, Any], field: str) -> dict[str, Any]:
    """A field of each recorded plugin, by the key of the plugin."""
    records = environment.get("plugins", {})
    return {_plugin_key(label, record): record.get(field) for label, record in records.items()}


def _plugin_key(label: str, record: Mapping[str, Any]) -> str:
    """A plugin's module, or the name of its single file, wherever that is."""
    return str(record["module"]) if record["distribution"] else Path(label).name
