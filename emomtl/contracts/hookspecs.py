"""All hooks that a plugin may implement. A hook returns what is offered, or receives an event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from emomtl.contracts.analysis import Analysis, ManifestAnalysis
    from emomtl.contracts.encoder import EncoderSource
    from emomtl.contracts.encoder_change import EncoderChange
    from emomtl.contracts.exporter import Exporter
    from emomtl.contracts.feature import Feature
    from emomtl.contracts.heads import Head
    from emomtl.contracts.objective import Objective
    from emomtl.contracts.sampler import Sampler
    from emomtl.contracts.task import DerivedTask, Task, TaskFamily
    from emomtl.contracts.weighting import Weighting
    from emomtl.run import Run

hookspec = pluggy.HookspecMarker("emomtl")
hookimpl = pluggy.HookimplMarker("emomtl")


@hookspec
def emomtl_tasks() -> Iterable[Task | type[TaskFamily | DerivedTask]]:  # type: ignore[empty-body]
    """Offer tasks, and families of tasks (dataclasses whose fields are options), derived tasks
    among them.
    """


@hookspec
def emomtl_samplers() -> Mapping[str, type[Sampler]]:  # type: ignore[empty-body]
    """Offer samplers by name; the dataclass fields are the options of `[sampler]`."""


@hookspec
def emomtl_weightings() -> Mapping[str, type[Weighting]]:  # type: ignore[empty-body]
    """Offer loss weightings by name; the dataclass fields are the options of `[weighting]`."""


@hookspec
def emomtl_heads() -> Mapping[str, type[Head]]:  # type: ignore[empty-body]
    """Offer head kinds by name; the dataclass fields are the options of `[tasks.x.head]`."""


@hookspec
def emomtl_objectives() -> Mapping[str, type[Objective]]:  # type: ignore[empty-body]
    """Offer objectives by name: extra losses on a task's texts; the dataclass fields are options of
    `[objectives.NAME]`.
    """


@hookspec
def emomtl_encoders() -> Mapping[str, EncoderSource]:  # type: ignore[empty-body]
    """Offer encoders by a short name."""


@hookspec
def emomtl_encoder_changes() -> Mapping[str, type[EncoderChange]]:  # type: ignore[empty-body]
    """Offer changes of the encoder by name; the dataclass fields are the options of
    `[[encoder.changes]]`.
    """


@hookspec
def emomtl_features() -> Mapping[str, type[Feature]]:  # type: ignore[empty-body]
    """Offer features, vectors made of texts, by name; the dataclass fields are the options of
    `[features.NAME]`.
    """


@hookspec
def emomtl_analyses() -> Mapping[str, type[Analysis | ManifestAnalysis]]:  # type: ignore[empty-body]
    """Offer analyses by name for `emomtl analyse NAME`; the dataclass fields are its options."""


@hookspec
def emomtl_manifests() -> Mapping[str, Path]:  # type: ignore[empty-body]
    """Offer manifests for `emomtl init --from NAME`: names and the files that hold them."""


@hookspec
def emomtl_studies() -> Mapping[str, Path]:  # type: ignore[empty-body]
    """Offer studies for `emomtl study NAME`: names and the files that hold them."""


@hookspec
def emomtl_claims() -> Mapping[str, Path]:  # type: ignore[empty-body]
    """Offer claims for `emomtl claims NAME`: names and the files that hold them."""


@hookspec
def emomtl_exporters() -> Mapping[str, type[Exporter]]:  # type: ignore[empty-body]
    """Offer formats for `emomtl export --format NAME`; the dataclass fields are options."""


@hookspec
def emomtl_should_stop(run: Run, scores: Mapping[str, Mapping[str, float]]) -> str | None:
    """After an evaluation, a reason to end the run, or None; any reason stops, and all are
    recorded.
    """


@hookspec
def emomtl_started(run: Run) -> None:
    """The run is about to take its first step (or its first after a resume)."""


@hookspec
def emomtl_stepped(
    run: Run, step: int, losses: Mapping[str, float], raw_losses: Mapping[str, float]
) -> None:
    """Every `train.log_every` steps: the mean losses since the last time, per task.

    `losses` are those that the weighting saw, on the scale of `train.loss_scale` (an objective's as
    `task/objective`); `raw_losses` are the heads' own means over known targets.
    """


@hookspec
def emomtl_evaluated(run: Run, step: int, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Validation was scored: per task, figures by their full names."""


@hookspec
def emomtl_checkpointed(run: Run, path: Path) -> None:
    """A checkpoint is complete and published under `path`."""


@hookspec
def emomtl_finished(run: Run, error: str | None) -> None:
    """The run is over; `error` says why where it did not end by itself."""
