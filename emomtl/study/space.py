"""The embedding spaces of a study's rows: every measure of `emomtl analyse space`, over seeds and texts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.bootstrap import LEVEL, MOST_UNDEFINED, BootstrapEstimate
from emomtl.metrics.intervals import Estimate, Spread, estimate, spread
from emomtl.safety.files import read_json, write_json
from emomtl.study.performing import Job, state_of

if TYPE_CHECKING:
    from pathlib import Path

    from emomtl.analyses.space.measures import Key, Measured
    from emomtl.study.planning import PlannedRun, StudyPlan

FILE = "embedding.json"
"""The file in a study's folder that the measures are kept in."""

SEED = 17
"""Of the samples of texts, which are the same for every run."""


@dataclass(frozen=True)
class Placed:
    """One measure of one row: over seeds, and its difference from the reference over seeds and texts.

    `compared` are the seeds of the difference: those in which it is defined for both.
    """

    row: str
    measure: str
    value: Spread
    difference: Estimate | None
    compared: int = 0

    def as_json(self) -> dict[str, Any]:
        """The measure with its difference, whose interval holds for another draw of seeds and texts."""
        found: dict[str, Any] = {"value": self.value.mean, "sd": self.value.sd, "seeds": self.value.seeds}
        if self.difference is not None:
            one = self.difference
            ends = {"value": one.value, "low": one.low, "high": one.high}
            found["difference"] = {**ends, "undefined": one.undefined, "seeds": self.compared}
        return found


def study_space(plan: StudyPlan, trust: Collection[str], say: Callable[[str], None] = lambda line: None) -> Table | None:
    """The table of a study's spaces, as far as its runs have come; it is kept in the study's folder until there are new runs.

    Validation texts of the target with exactly one label, at the best checkpoint. None before the reference has a run.
    """
    ready = [
        run
        for run in plan.runs
        if run.target == plan.file.study.target
        and state_of(Job(run.identity, str(run.manifest), str(run.folder), "", False)) == "done"
    ]
    wanted = {run.row + f", seed {run.seed}": run.identity for run in ready}
    kept = _kept(plan.folder / FILE)
    if kept.get("runs") != wanted:
        found = list(_measured(plan, ready, trust, say))
        if not found:
            return None
        rows = {one.row: {other.measure: other.as_json() for other in found if other.row == one.row} for one in found}
        kept = {"study": plan.file.study.name, "reference": plan.file.reference, "runs": wanted, "rows": rows}
        write_json(plan.folder / FILE, kept)
    return _table(kept)


def kept_space(plan: StudyPlan) -> list[Table]:
    """The table of spaces that was kept in a study's folder; none where they were not measured."""
    kept = _kept(plan.folder / FILE)
    return [_table(kept)] if kept else []


def _kept(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _measured(
    plan: StudyPlan, ready: Sequence[PlannedRun], trust: Collection[str], say: Callable[[str], None]
) -> Iterator[Placed]:
    """Every measure of every row; the differences of one seed are of runs with that seed."""
    by_seed = {seed: list(_of_seed(plan, ready, seed, trust, say)) for seed in dict.fromkeys(run.seed for run in ready)}
    texts = max((number for found in by_seed.values() for number, _, _ in found), default=0)
    rows: dict[str, list[Measured]] = {}
    for found in by_seed.values():
        for _, row, measured in found:
            rows.setdefault(row, []).append(measured)
    for row, spaces in rows.items():
        for key in spaces[0].values:
            values = _known([one.values.get(key) for one in spaces])
            apart = _known([one.differences.get(key) for one in spaces])
            if not values:
                continue
            drawn = [(float(one.value or 0.0), one.draws) for one in apart if one.draws is not None]
            difference = None
            if drawn:
                figures, draws = zip(*drawn, strict=True)
                difference = estimate(figures, draws, texts)
            mean = spread([float(one.value or 0.0) for one in values])
            yield Placed(row, _name(key), mean, difference, len(drawn))


def _known(figures: Sequence[BootstrapEstimate | None]) -> list[BootstrapEstimate]:
    return [one for one in figures if one is not None and one.value is not None]


def _of_seed(
    plan: StudyPlan, ready: Sequence[PlannedRun], seed: int, trust: Collection[str], say: Callable[[str], None]
) -> Iterator[tuple[int, str, Measured]]:
    """The texts' number, the row and the measures of each run with a seed, the reference first; nothing where it has no run."""
    from emomtl.analyses.runs import RunFolders
    from emomtl.analyses.space import SpaceAnalysis
    from emomtl.analyses.space.measures import measure_spaces

    mine = sorted((run for run in ready if run.seed == seed), key=lambda run: run.row != plan.file.reference)
    if not mine or mine[0].row != plan.file.reference:
        return
    table = plan.file.study.space
    limit = table.limit if table is not None else 5_000
    analysis = SpaceAnalysis(plan.file.study.target, limit=limit, permutations=1, seed=SEED)
    runs = RunFolders([run.folder for run in mine], trust_plugins=trust, say=say)
    spaces = measure_spaces(runs, analysis)
    for run, measured in zip(mine, spaces.measured, strict=True):
        yield len(spaces.texts.gold), run.row, measured


def _name(key: Key) -> str:
    return f"{key[0].replace('_', ' ')}: {key[1]}"


def _table(kept: Mapping[str, Any]) -> Table:
    rows = [
        _row(measure, row, found)
        for measure in next(iter(kept["rows"].values()))
        for row, figures in kept["rows"].items()
        if (found := figures.get(measure)) is not None
    ]
    notes = (
        "best checkpoints, validation texts with exactly one label; mean ± standard deviation over seeds",
        f"the difference is the row less '{kept['reference']}', paired by text and seed; its {LEVEL:.0%} interval holds for "
        "another draw of both, and with one seed says nothing of other seeds",
        f"an interval is undefined where the measure is in more than {MOST_UNDEFINED:.0%} of the bootstrap samples",
        "nothing is corrected for the number of intervals: of true nothings one in twenty looks like something",
    )
    columns = ("measure", "row", "value", "seeds", "difference", f"{LEVEL:.0%} interval")
    return Table(f"{kept['study']}: the embedding spaces", columns, tuple(rows), notes)


def _row(measure: str, row: str, found: Mapping[str, Any]) -> tuple[Cell, ...]:
    value = f"{found['value']:.4f}" + ("" if found["sd"] is None else f" ± {found['sd']:.4f}")
    apart = found.get("difference")
    if apart is None:
        return (measure, row, value, found["seeds"], "", "")
    if apart["low"] is None or apart["high"] is None:
        return (measure, row, value, found["seeds"], f"{apart['value']:+.4f}", "undefined")
    interval = f"{apart['low']:+.4f} to {apart['high']:+.4f}"
    return (measure, row, value, found["seeds"], f"{apart['value']:+.4f}", interval)
