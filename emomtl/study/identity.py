"""A run's identity: a hash of what it computes, from which rows and start, without names and
places.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from emomtl.compose import Plan, Start
from emomtl.data.hub import LocatedHub
from emomtl.data.located import Located
from emomtl.errors import EmomtlError
from emomtl.manifest import Manifest, remove_old_values
from emomtl.metrics.selection import EMA
from emomtl.run import Run, choose_weights, find_checkpoint, open_own

OWN = ("name", "folder")
"""Keys of a manifest that change nothing of what is computed."""


class Identities:
    """Identities of planned runs: their complete manifests, with digests in place of paths.

    Files and starts are hashed once, however many runs read them.
    """

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}
        self._starts: dict[tuple[Path, str, str | None], dict[str, str]] = {}

    def of(self, plan: Plan, start: str | None = None) -> str:
        """The SHA-256 of a run; `start` is the identity of the planned run that it starts from.

        A corpus of the hub is identified by its name, and a start that the manifest itself names by
        its manifest and checkpoint as they are now. EmomtlError where it cannot be read.
        """
        content = _content(plan.manifest)
        for name, bound in plan.tasks.items():
            content["tasks"][name]["source"] = self._of_rows(bound.rows_source)
        before = plan.before
        # a stage before this run, unless it is [pretrain], which stands in the manifest itself
        if before is not None and plan.manifest.pretrain is None:
            content["start"] = {
                "run": self.of(before.plan, start),
                "checkpoint": before.checkpoint,
                "heads": before.heads,
            }
        elif start is not None:
            content["start"]["run"] = start
        elif plan.start is not None:
            content["start"] = {**self._of_start(plan.start), "heads": plan.start.heads}
        return _digest(content)

    def _of_rows(self, located: Located) -> str:
        if isinstance(located, LocatedHub):
            return located.identity
        if located.identity not in self._rows:
            self._rows[located.identity] = located.fingerprint()
        return self._rows[located.identity]

    def _of_start(self, start: Start) -> dict[str, str]:
        """The identity of a run that a manifest names, and the hash of its checkpoint's weights."""
        key = (start.folder, start.checkpoint, start.weights)
        if key not in self._starts:
            self._starts[key] = _start_of(start)
        return self._starts[key]


def _start_of(start: Start) -> dict[str, str]:
    try:
        run = Run.open(start.folder)
        checkpoint = open_own(run, find_checkpoint(run, start.checkpoint).resolve())
        weights = choose_weights(run, checkpoint, start.weights, "weights")
    except EmomtlError as error:
        problems = []
        for problem in error.problems:
            found = f"{problem.place}: {problem.found}"
            problems.append(replace(problem, place="start.run", found=found))
        raise EmomtlError(*problems) from error
    content = _content(run.manifest)
    for name, digest in run.environment.get("data", {}).items():
        content["tasks"][name]["source"] = digest
    content["start"] = run.environment.get("start", {}).get("sha256")
    identity = {"run": _digest(content), "sha256": checkpoint.files["model.safetensors"][0]}
    if weights == EMA and checkpoint.has(EMA):
        identity[EMA] = checkpoint.files["ema.safetensors"][0]
    return identity


def _content(manifest: Manifest) -> dict[str, Any]:
    """A complete manifest without the keys that change nothing of what is computed."""
    content = manifest.model_dump(mode="json")
    for key in OWN:
        del content[key]
    # The number of processes changes no result. Older runs were identified with this value.
    content["devices"] = 1
    remove_old_values(content)
    return content


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
