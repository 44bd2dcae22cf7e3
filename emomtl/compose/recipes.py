"""What decides about the rows that a task reads: its options, its head, and its plugins' code."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.task import DerivedTask
from emomtl.data.bound_task import BoundTask
from emomtl.manifest import options_of

if TYPE_CHECKING:
    from emomtl.compose.plan import Plan
    from emomtl.plugins.offers import Plugin

MOST_BYTES = 64 * 2**20
"""Bytes of a plugin's package beyond which it is not hashed at each start."""


def recipes(plan: Plan) -> dict[str, str]:
    """A string for each task of a run: with equal ones, an equal source gives equal rows.

    Empty where the code cannot be known: a plugin of a single file may import what lies beside it.
    """
    code = []
    for plugin in sorted(plan.plugins.active, key=lambda plugin: plugin.label):
        digest = _package_digest(plugin)
        if digest is None:
            return {}
        code.append([plugin.label, digest])
    by_task = {}
    for name, task in plan.tasks.items():
        content = [sys.version, *_options(plan, task), code]
        by_task[name] = json.dumps(content, sort_keys=True, default=str)
    return by_task


def _options(plan: Plan, task: BoundTask) -> list[Any]:
    """The task, its options and its head; of a derived task also those of what it is made of."""
    head = [task.head.kind, options_of(task.head)]
    options = options_of(task.family) if task.family is not None else {}
    tables = plan.manifest.tasks
    made_of: list[Any] = []
    name = task.family.of if isinstance(task.family, DerivedTask) else None
    while name is not None and name in tables and len(made_of) < len(tables):
        table = tables[name]
        made_of.append([name, table.use, table.options])
        name = table.options.get("of")
    return [task.task.name, task.table.use, options, head, made_of, task.table.learned_labels]


def _package_digest(plugin: Plugin) -> str | None:
    """A SHA-256 over the files of a plugin's package; None for a single file or a huge package."""
    if not plugin.distribution or plugin.file is None:
        return None
    top = sys.modules.get(plugin.module.__name__.partition(".")[0])
    files = []
    for folder in getattr(top, "__path__", ()):
        for path in sorted(Path(folder).rglob("*")):
            if "__pycache__" not in path.parts and path.is_file():
                files.append(path)
    digest, size = hashlib.sha256(), 0
    for path in files or [plugin.file]:
        content = path.read_bytes()
        size += len(content)
        if size > MOST_BYTES:
            return None
        digest.update(f"{path.name} {len(content)} ".encode() + content)
    return digest.hexdigest()
