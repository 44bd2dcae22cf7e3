"""How far the runs of a study are, read from their folders while others write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.errors import EmomtlError
from emomtl.run import Run, is_run
from emomtl.study.performing import Job, State, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emomtl.study.planning import StudyPlan


@dataclass(frozen=True)
class Standing:
    """Where a run stands: its state, the last logged step of how many, and the target's newest figure on validation."""

    state: State
    step: int = 0
    total: int = 0
    figure: float | None = None


class Watch:
    """The standings of a study's runs by identity; a run is read again only when its files have changed."""

    def __init__(self, plan: StudyPlan, jobs: Mapping[str, Job]) -> None:
        self.jobs = jobs
        self._metrics = {run.identity: plan.scoring[run.row].untuned for run in reversed(plan.runs)}
        self._kept: dict[str, tuple[tuple[float, ...], Standing]] = {}

    def look(self) -> dict[str, Standing]:
        """Every run as it stands now; one that is just being written may be told as it stood before."""
        return {key: self._of(job) for key, job in self.jobs.items()}

    def _of(self, job: Job) -> Standing:
        files = [Path(job.folder) / name for name in ("run.json", "metrics.jsonl", "scores.json")]
        stamp = tuple(_changed(files))
        before = self._kept.get(job.key)
        if before is not None and before[0] == stamp:
            return before[1]
        try:
            found = standing(job, self._metrics.get(job.key, ""))
        except EmomtlError:
            found = before[1] if before is not None else Standing("begun")
        self._kept[job.key] = (stamp, found)
        return found


def _changed(files: list[Path]) -> Iterator[float]:
    for file in files:
        try:
            yield file.stat().st_mtime
        except OSError:
            yield 0.0


def standing(job: Job, metric: str) -> Standing:
    """Where one run stands; a damaged one is an EmomtlError."""
    folder, state = Path(job.folder), state_of(job)
    if not is_run(folder):
        return Standing(state)
    step, total, figure = 0, 0, None
    for event in Run.open(folder).events():
        step = int(event.get("step", step))
        if event.get("event") == "start":
            total = int(event.get("total") or 0)
        if event.get("event") == "evaluation":
            figure = event["scores"].get(job.target, {}).get(metric, figure)
    return Standing(state, step, total, figure)
