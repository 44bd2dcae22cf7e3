"""What tells runs apart: what is computed, from which rows and from which start, and neither names nor places."""

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
from emomtl.run import Run, find_checkpoint, open_own
from emomtl.run.weights import choose_weights

OWN = ("name", "folder")
"""Keys of a manifest that say nothing of what is computed, and are no part of a run's identity."""


class Identities:
    """The identities of runs: their complete manifests, with what their rows and their starts are for where they lie."""

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}
        self._starts: dict[tuple[Path, str, str | None], dict[str, str]] = {}

    def of(self, plan: Plan, start: str | None = None) -> str:
        """The SHA-256 of a run; `start` is the identity of the planned run that it starts from.

        Files are hashed once, however many runs read them, and a corpus of the hub goes by its name. A start that the manifest
        itself names is what it is now: its manifest and the hash of its checkpoint. EmomtlError where it cannot be read.
        """
        content = _content(plan.manifest)
        for name, bound in plan.tasks.items():
            content["tasks"][name]["source"] = self._of_rows(bound.rows_source)
        before = plan.before
        if before is not None and plan.manifest.pretrain is None:  # [pretrain] stands in the manifest itself
            taken = {"checkpoint": before.checkpoint, "heads": before.heads}
            content["start"] = {"run": self.of(before.plan, start), **taken}
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
        """The run that a manifest names, by its own identity, and its checkpoint, by the hash of its weights."""
        key = (start.folder, start.checkpoint, start.weights)
        if key not in self._starts:
            try:
                run = Run.open(start.folder)
                checkpoint = open_own(run, find_checkpoint(run, start.checkpoint).resolve())
                weights = choose_weights(run, checkpoint, start.weights, "weights")
            except EmomtlError as error:
                where = (replace(p, place="start.run", found=f"{p.place}: {p.found}") for p in error.problems)
                raise EmomtlError(*where) from error
            content = _content(run.manifest)
            for name, digest in run.environment.get("data", {}).items():
                content["tasks"][name]["source"] = digest
            content["start"] = run.environment.get("start", {}).get("sha256")
            self._starts[key] = {"run": _digest(content), "sha256": checkpoint.files["model.safetensors"][0]}
            if weights == EMA and checkpoint.has(EMA):
                self._starts[key][EMA] = checkpoint.files["ema.safetensors"][0]
        return self._starts[key]


def _content(manifest: Manifest) -> dict[str, Any]:
    """A complete manifest without what is its own alone."""
    content = {key: value for key, value in manifest.model_dump(mode="json").items() if key not in OWN}
    content["devices"] = 1  # how many processes share the work is no part of what it is; runs of old are told by this value
    remove_old_values(content)
    return content


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
