"""`emomtl analyse affinity`: which tasks help each other, measured before they are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from emomtl.analyses.runs import option
from emomtl.contracts.analysis import Cell, ManifestAnalysis, Picture, Result, Table
from emomtl.contracts.hookspecs import hookimpl
from emomtl.errors import EmomtlError, Problem, suggest

if TYPE_CHECKING:
    from emomtl.analyses.affinity.summary import Auxiliary
    from emomtl.compose import Plan
    from emomtl.metrics.intervals import MeanInterval

COLUMNS = (
    *("auxiliary", "Z", "Z 95%", "a step on it", "cosine", "cosine 95%", "magnitude similarity"),
)
EFFECTS = {1: "helps", -1: "hurts", 0: "may do either"}


@dataclass(frozen=True)
class AffinityAnalysis(ManifestAnalysis):
    """Train a short run in memory, measure how each task's gradient bears on the others, and rank
    auxiliaries for a target.
    """

    target: str | None = option(
        None,
        "The task to be helped; left out, `train.target`, or the task of `eval.select`.",
        metavar="TASK",
    )
    steps: Annotated[int, Ge(1)] = option(200, "Steps that are trained, in memory.")
    every: Annotated[int, Ge(1)] = option(10, "Steps between two measurements.")
    rate: float = option(1e-4, "Length of the look-ahead step, the same for every task.")
    gains: Path | None = option(
        None, "Measured gains, CSV (auxiliary,gain) or JSON: the rank correlation is added."
    )

    def __post_init__(self) -> None:
        """Refuse a look-ahead step of no length."""
        if self.rate <= 0:
            raise EmomtlError(Problem("--rate", f"{self.rate:g} is no step", "a number above 0"))

    def run(self, plan: Plan, say: Callable[[str], None]) -> Result:
        """Measure and rank; EmomtlError where there is no target, or only one task."""
        from emomtl.analyses.affinity.course import affinity
        from emomtl.analyses.affinity.gains import correlate, read_gains
        from emomtl.analyses.affinity.picture import figure
        from emomtl.analyses.affinity.summary import as_json, ranking

        target = self._target(plan)
        gains = read_gains(self.gains) if self.gains is not None else None

        def measured(step: int) -> None:
            say(f"measured after step {step} of {self.steps}")

        found = affinity(plan, self.steps, self.every, self.rate, measured)
        auxiliaries = ranking(found, target)
        data = {"manifest": plan.manifest.name, **as_json(found, target)}
        notes = [
            (
                f"Z: what part of {target}'s loss one step of length {self.rate:g} on the auxiliary"
                " takes away, over the shared parameters"
            ),
            (
                "the interval is that of one run's steps, which resemble each other, and of one"
                " seed; a measured gain is another thing"
            ),
        ]
        if gains is not None:
            data["gains"] = correlate(auxiliaries, gains, plan.manifest.seed)
            notes += _correlations(data["gains"])
        title = (
            f"{plan.manifest.name}: auxiliaries for {target}, {len(found.steps)} measurement(s) up"
            f" to step {found.steps[-1]}"
        )
        rows = tuple(_row(auxiliary) for auxiliary in auxiliaries)
        return Result(
            f"Affinity for {target}",
            [Table(title, COLUMNS, rows, tuple(notes))],
            [Picture(f"Affinity for {target}", "affinity", figure(found, target))],
            data=data,
        )

    def _target(self, plan: Plan) -> str:
        """The target that was named, or else the manifest's."""
        from emomtl.metrics.selection import selecting_task

        if self.target is None:
            manifest = plan.manifest
            target = manifest.train.target or selecting_task(manifest.eval.select)
            if target is not None:
                return target
            found = (
                "the manifest names no task that is to be helped: the best checkpoint is chosen by"
                " the mean over tasks"
            )
            raise EmomtlError(Problem("--target", found, f"one of {', '.join(plan.tasks)}"))
        if self.target not in plan.tasks:
            found = f"'{self.target}' is no task of this manifest"
            raise EmomtlError(Problem("--target", found, suggest(self.target, plan.tasks)))
        return self.target


@hookimpl
def emomtl_analyses() -> dict[str, type[Any]]:
    """Offer `affinity`."""
    return {"affinity": AffinityAnalysis}


def _row(auxiliary: Auxiliary) -> tuple[Cell, ...]:
    return (
        auxiliary.task,
        *_cells(auxiliary.lookahead, "+.2e"),
        EFFECTS[auxiliary.lookahead.sign],
        *_cells(auxiliary.cosine, "+.3f"),
        _cells(auxiliary.magnitude, ".3f")[0],
    )


def _cells(interval: MeanInterval, form: str) -> tuple[str, str]:
    """A mean and its interval, as text."""
    mean = "undefined" if interval.mean is None else f"{interval.mean:{form}}"
    if interval.low is None or interval.high is None:
        return mean, ""
    return mean, f"{interval.low:{form}} to {interval.high:{form}}"


def _correlations(gains: dict[str, Any]) -> list[str]:
    """How affinity and measured gains correlate, in words."""
    lines = []
    for name in ("lookahead", "cosine"):
        rho, p = gains[name]["rho"], gains[name]["p"]
        shown = "undefined"
        if rho is not None:
            shown = f"Spearman's rho {rho:+.3f}, p = {p:.3g} (n = {gains['n']})"
        lines.append(f"{name} and measured gains: {shown}")
    return [*lines, f"warning: {gains['warning']}"] if gains["warning"] else lines
