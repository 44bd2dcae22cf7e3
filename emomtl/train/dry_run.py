"""What a manifest's runs would do and cost, found without training them (`emomtl check`)."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any

from emomtl.compose import Plan, plans
from emomtl.contracts.sources import SPLITS
from emomtl.data.corpus import TaskData
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.model.pretrained import WrongEncoder
from emomtl.train.balance import label_shares
from emomtl.train.checks import check_targets
from emomtl.train.cost import MeasuredCost, estimate, measure_cost, sample_lengths
from emomtl.train.display import Display
from emomtl.train.forecast import (
    MeanLengths,
    compare,
    forecast,
    over_stages,
    shared_step,
    task_notes,
)
from emomtl.train.reading import read
from emomtl.train.scale import task_scales, with_fitted_heads

Say = Callable[[str], None]


def dry_runs(plan: Plan, step: bool, say: Say) -> list[dict[str, Any]]:
    """What each run of a plan would do: the stages and the pre-training before it come first.

    `say` receives notes and warnings. With `step` a few steps are taken, from which time and memory
    are estimated. The keys of a run are those of `forecast`, and what is found beside it.
    """
    return [_dry_run(run, step, say) for run in plans(plan)]


def compare_updates(
    plan: Plan, expectations: Sequence[dict[str, Any]], other: Plan, say: Say
) -> dict[str, Any]:
    """How often the task that two plans share is trained by each, as `forecast.compare` says it.

    `expectations` are the dry runs of `plan`.
    """
    others = [forecast(run, _read(run, say)) for run in plans(other)]
    return compare(plan, over_stages(expectations), other, over_stages(others))


def dry_runs_as_json(plan: Plan, expectations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The last run, with the runs before it under `pretrain` and `stages`."""
    result = dict(expectations[-1])
    for following, expected in zip(plans(plan)[1:], expectations, strict=False):
        if following.manifest.pretrain is not None:
            result["pretrain"] = expected
        else:
            assert following.before is not None
            result.setdefault("stages", []).append({"stage": following.before.stage, **expected})
    return result


def _dry_run(plan: Plan, step: bool, say: Say) -> dict[str, Any]:
    data = _read(plan, say)
    fitted = with_fitted_heads(plan.with_taxonomies(data.taxonomies), data)
    if step:
        calibration = _measure(plan)
        for line in calibration.notes:
            say(f"note: {line}")
        expected = forecast(plan, data, calibration.lengths)
        expected["first_losses"] = calibration.losses
        expected |= estimate(expected, calibration, plan, data)
    else:
        expected = forecast(plan, data, _lengths(plan, say))
    expected["select"] = plan.manifest.eval.select
    expected["chosen_by"] = plan.selection_in_words
    scales = task_scales(fitted, data)
    expected["loss_scale"] = {task: scale.sentence for task, scale in scales.items()}
    if shares := label_shares(plan, data):
        expected["label_shares"] = shares
    if lines := task_notes(fitted):
        expected["along_the_run"] = lines
    if plan.manifest.devices is not None:
        expected["processes"] = shared_step(plan.manifest)
    if data.noise:
        expected["label_noise"] = {task: noise.as_json() for task, noise in data.noise.items()}
    leaks = {task: leak for task, leak in data.leaks.items() if leak.rows}
    if leaks:
        expected["leaks"] = {task: leak.as_json() for task, leak in leaks.items()}
    if not plan.manifest.data.drop_leaks:
        remedy = "`[data] drop_leaks = true` leaves them out, `emomtl data audit` shows them"
        for task, leak in leaks.items():
            say(f"warning: {task}: {leak}: {remedy}")
    return expected


def _measure(plan: Plan) -> MeasuredCost:
    """What a few steps measured; an error in one names the line that raised it."""
    try:
        return measure_cost(plan)
    except EmomtlError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {clean(str(error), 200)}"
        remedy = "`emomtl train` shows the whole traceback; --no-step checks all but that"
        found = f"a step of this run fails: {reason}"
        problem = Problem("", found, remedy, frame.filename, frame.lineno)
        raise EmomtlError(problem) from error


class _Notes(Display):
    """Shows notes only."""

    def __init__(self, say: Say) -> None:
        self.say = say

    def note(self, line: str) -> None:
        self.say(f"note: {line}")


def _read(plan: Plan, say: Say) -> TaskData:
    data = read(plan, _Notes(say), SPLITS, leaks="count")
    for line in check_targets(plan, data):
        say(f"note: {line}")
    return data


def _lengths(plan: Plan, say: Say) -> MeanLengths | None:
    """Mean lengths; None with a note if the encoder is not at hand, since no step needs it here.

    An encoder that is there and not whole is an error all the same.
    """
    try:
        lengths, notes = sample_lengths(plan)
    except WrongEncoder:
        raise
    except EmomtlError as error:
        say(f"note: tokens are not counted: {error}")
        return None
    for line in notes:
        say(f"note: {line}")
    return lengths
