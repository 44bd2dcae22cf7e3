"""What a task's plugin decides about its rows, said in one string: the options of the run, and the plugins' code as it is."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.task import DerivedTask
from emomtl.manifest import options_of

if TYPE_CHECKING:
    from emomtl.compose.plan import BoundTask, Plan
    from emomtl.plugins.offers import Plugin

MOST_BYTES = 64 * 2**20
"""Bytes of a plugin's package beyond which it is not hashed at each start."""


def recipes(plan: Plan) -> dict[str, str]:
    """A string for each task of a run; equal strings read equal rows from an equal source.

    Empty where the code cannot be told for sure: a plugin of a single file may import what lies beside it.
    """
    code = []
    for plugin in sorted(plan.plugins.active, key=lambda plugin: plugin.label):
        digest = _package(plugin)
        if digest is None:
            return {}
        code.append([plugin.label, digest])
    said = {name: [*_chosen(plan, bound), code] for name, bound in plan.tasks.items()}
    return {name: json.dumps([sys.version, *one], sort_keys=True, default=str) for name, one in said.items()}


def _chosen(plan: Plan, bound: BoundTask) -> list[Any]:
    """The task, its options and its head; of a derived task also those of what it is made of."""
    head = [bound.head.kind, options_of(bound.head)]
    options = options_of(bound.family) if bound.family is not None else {}
    of: list[Any] = []
    name = bound.family.of if isinstance(bound.family, DerivedTask) else None
    while name is not None and name in plan.manifest.tasks and len(of) < len(plan.manifest.tasks):
        table = plan.manifest.tasks[name]
        of.append([name, table.use, table.options])
        name = table.options.get("of")
    return [bound.task.name, bound.table.use, options, head, of, bound.table.learned_labels]


def _package(plugin: Plugin) -> str | None:
    """A SHA-256 over the files of the package that a plugin's module is in; None for a single file, and for a huge package."""
    if not plugin.distribution or plugin.file is None:
        return None
    top = sys.modules.get(plugin.module.__name__.partition(".")[0])
    folders = [Path(folder) for folder in getattr(top, "__path__", ())]
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts]
    files = [path for path in paths if path.is_file()] or [plugin.file]
    digest, size = hashlib.sha256(), 0
    for path in files:
        content = path.read_bytes()
        size += len(content)
        if size > MOST_BYTES:
            return None
        digest.update(f"{path.name} {len(content)} ".encode() + content)
    return digest.hexdigest()
