"""A run as the processes see it that compute it together with its writer: they read, and what they would write is dropped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from emomtl.run.directory import Run

if TYPE_CHECKING:
    from emomtl.manifest.models import Manifest


class Follower(Run):
    """A run that another process has locked and writes."""

    @classmethod
    def of(cls, folder: Path) -> Follower:
        """Open a run that exists; EmomtlError where it is not seen, such as on a machine that does not share the folder."""
        run = Run.open(folder)
        return cls(run.name, run.folder, run.manifest, run.environment, run._lock, run.identity)

    def amend(self, manifest: Manifest, environment: Mapping[str, Any]) -> None:
        """Take over another manifest and environment; the writer writes them."""
        self.manifest, self.environment = manifest, MappingProxyType(dict(environment))

    def log_event(self, event: str, **fields: Any) -> None:
        """Nothing: the writer does it."""

    def events_size(self) -> int:
        """0: the writer knows it."""
        return 0

    def cut_events(self, size: int) -> None:
        """Nothing: the writer does it."""

    def add_scores(self, entry: Mapping[str, Any]) -> int:
        """0: the writer counts."""
        return 0

    def log(self, line: str) -> None:
        """Nothing: the writer does it."""
