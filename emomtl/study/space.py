"""The embedding spaces of a study's rows, by the measures of `emomtl analyse space`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.bootstrap import LEVEL, MOST_UNDEFINED
from emomtl.metrics.intervals import Spread, estimate, spread
from emomtl.safety.files import read_json, write_json
from emomtl.study.jobs import Job, state_of
from emomtl.study.table import interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.analyses.space.measures import Key, Measured
    from emomtl.study.planning import PlannedRun, StudyPlan

FILE = "embedding.json"
"""The file in a study's folder that holds the measures."""

SEED = 17
"""Of the samples of texts, which are the same for every run."""

Say = Callable[[str], None]


def study_space(
    plan: StudyPlan, trust: Collection[str], say: Say = lambda line: None
) -> Table | None:
    """The table of a study's spaces; measured again only where there are new runs.

    Measured are validation texts of the target with exactly one label, at the best checkpoint. None
    before the reference has a run.
    """
    ready = []
    for run in plan.runs:
        job = Job(run.identity, str(run.manifest), str(run.folder), "", False)
        if run.target == plan.file.study.target and state_of(job) == "done":
            ready.append(run)
    runs = {f"{run.row}, seed {run.seed}": run.identity for run in ready}
    content = _read(plan)
    if content.get("runs") != runs:
        rows = _measure(plan, ready, trust, say)
        if not rows:
            return None
        name, reference = plan.file.study.name, plan.file.reference
        content = {"study": name, "reference": reference, "runs": runs, "rows": rows}
        write_json(plan.folder / FILE, content)
    return _table(content)


def kept_space(plan: StudyPlan) -> list[Table]:
    """The table of spaces from a study's folder; none where they were not measured."""
    content = _read(plan)
    if not content:
        return []
    return [_table(content)]


def _read(plan: StudyPlan) -> dict[str, Any]:
    path = plan.folder / FILE
    return read_json(path) if path.is_file() else {}


def _measure(
    plan: StudyPlan, ready: Sequence[PlannedRun], trust: Collection[str], say: Say
) -> dict[str, dict[str, Any]]:
    """Every measure by row and name, over seeds, with its difference from the reference.

    Differences are of runs with the same seed; their intervals hold for another draw of seeds and
    texts.
    """
    text_count = 0
    spaces: dict[str, list[Measured]] = {}
    for seed in dict.fromkeys(run.seed for run in ready):
        for texts, row, measured in _of_seed(plan, ready, seed, trust, say):
            text_count = max(text_count, texts)
            spaces.setdefault(row, []).append(measured)
    rows: dict[str, dict[str, Any]] = {}
    for row, by_seed in spaces.items():
        for key in by_seed[0].values:
            values, differences, draws = [], [], []
            for measured in by_seed:
                value, difference = measured.values.get(key), measured.differences.get(key)
                if value is not None and value.value is not None:
                    values.append(float(value.value))
                if difference is None or difference.value is None or difference.draws is None:
                    continue
                differences.append(float(difference.value))
                draws.append(difference.draws)
            if not values:
                continue
            mean = spread(values)
            measure: dict[str, Any] = {"value": mean.mean, "sd": mean.sd, "seeds": mean.seeds}
            if differences:
                measure["difference"] = _difference(differences, draws, text_count)
            rows.setdefault(row, {})[_name(key)] = measure
    return rows


def _difference(
    differences: Sequence[float], draws: Sequence[NDArray[Any]], texts: int
) -> dict[str, Any]:
    """The mean over seeds of a measure's difference from the reference, as JSON."""
    mean = estimate(differences, draws, texts)
    return {
        "value": mean.value,
        "low": mean.low,
        "high": mean.high,
        "undefined": mean.undefined,
        "seeds": len(differences),
    }


def _of_seed(
    plan: StudyPlan, ready: Sequence[PlannedRun], seed: int, trust: Collection[str], say: Say
) -> list[tuple[int, str, Measured]]:
    """Number of texts, row and measures of each run with a seed that the reference has, too."""
    from emomtl.analyses.runs import RunFolders
    from emomtl.analyses.space import SpaceAnalysis
    from emomtl.analyses.space.measures import measure_spaces

    study, reference = plan.file.study, plan.file.reference
    runs = [run for run in ready if run.seed == seed]
    runs.sort(key=lambda run: run.row != reference)  # the first is the one that others are less
    if not runs or runs[0].row != reference:
        return []
    limit = study.space.limit if study.space is not None else 5_000
    analysis = SpaceAnalysis(study.target, limit=limit, permutations=1, seed=SEED)
    folders = RunFolders([run.folder for run in runs], trust_plugins=trust, say=say)
    spaces = measure_spaces(folders, analysis)
    texts = len(spaces.texts.gold)
    return [(texts, run.row, one) for run, one in zip(runs, spaces.measured, strict=True)]


def _name(key: Key) -> str:
    return f"{key[0].replace('_', ' ')}: {key[1]}"


def _table(content: Mapping[str, Any]) -> Table:
    rows = []
    for measure in next(iter(content["rows"].values())):
        for row, measures in content["rows"].items():
            if measure in measures:
                rows.append((measure, row, *_cells(measures[measure])))
    notes = (
        (
            "best checkpoints, validation texts with exactly one label; mean ± standard deviation"
            " over seeds"
        ),
        (
            f"the difference is the row less '{content['reference']}', paired by text and seed; its"
            f" {LEVEL:.0%} interval holds for another draw of both, and with one seed says nothing"
            " of other seeds"
        ),
        (
            f"an interval is undefined where the measure is in more than {MOST_UNDEFINED:.0%} of"
            " the bootstrap samples"
        ),
        (
            "nothing is corrected for the number of intervals: of true nothings one in twenty looks"
            " like something"
        ),
    )
    columns = ("measure", "row", "value", "seeds", "difference", f"{LEVEL:.0%} interval")
    return Table(f"{content['study']}: the embedding spaces", columns, tuple(rows), notes)


def _cells(measure: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Value, seeds, difference and interval."""
    value = str(Spread(measure["value"], measure["sd"], measure["seeds"]))
    difference = measure.get("difference")
    if difference is None:
        return (value, measure["seeds"], "", "")
    ends = interval(difference["low"], difference["high"], "+.4f")
    return (value, measure["seeds"], f"{difference['value']:+.4f}", ends)
