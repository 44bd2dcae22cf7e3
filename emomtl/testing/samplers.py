"""The check for samplers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from emomtl.contracts.sampler import Moment, Sampler
from emomtl.errors import EmomtlError
from emomtl.testing.findings import Findings

SIZES = (
    {"only": 500},
    {"large": 60_000, "small": 800},
    {"one": 43_410, "two": 67_349, "three": 8_062, "four": 1_600_000, "five": 1},
)
"""Training rows of one, two and five tasks; the last differ much."""


def check_sampler(
    sampler: Sampler, sizes: Mapping[str, int] | None = None, *, ordered: bool = False
) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of a sampler and that does not
    hold.

    At the beginning, middle and end of a run, jointly and not, with and without losses and scores,
    for one, two and five tasks: the probabilities must name every task and no other, be finite and
    >= 0, sum to 1 within 1e-6, be the same when asked again (whatever was asked in between), and
    not depend on the order of the tasks.

    `sizes` are training rows by task, for a sampler whose options name tasks. `ordered=True` allows
    one that goes by the manifest's order, as round-robin does.
    """
    findings = Findings(f"sampler {type(sampler).__name__}")
    findings.options(sampler)
    for run_sizes in SIZES if sizes is None else (sizes,):
        with findings.trying(f"check({dict(run_sizes)})"):
            sampler.check(run_sizes)
        for moment in _moments(run_sizes):
            _check_moment(findings, sampler, moment, ordered)
    findings.done()


def _moments(sizes: Mapping[str, int]) -> Iterator[Moment]:
    """Moments from the first step to the last, of a run of one epoch and of ten."""
    for epochs in (1, 10):
        for step, progress in ((0, 0.0), (3, 0.06), (25, 0.5), (50, 1.0)):
            epoch = min(epochs - 1, int(progress * epochs))
            moment = Moment(step, progress, epoch, epochs, sizes, evaluation=step // 10, seed=17)
            counts = {task: 32 * step // (i + 1) for i, task in enumerate(sizes)}
            moment = replace(moment, counts=counts)
            if step > 0:
                losses = {task: 0.4 + 0.3 * i for i, task in enumerate(sizes)}
                scores = {task: {"macro_f1": 0.8 - 0.1 * i} for i, task in enumerate(sizes)}
                moment = replace(moment, losses=losses, scores=scores)
            yield moment
            yield replace(moment, joint=True)


def _check_moment(findings: Findings, sampler: Sampler, moment: Moment, ordered: bool) -> None:
    where = f"{len(moment.sizes)} task(s), step {moment.step}, progress {moment.progress}, "
    where += f"joint {moment.joint}"
    with findings.trying(f"probabilities ({where})"):
        probabilities = dict(sampler.probabilities(moment))
        if set(probabilities) != set(moment.tasks):
            problem = f"names {sorted(probabilities)}"
            raise EmomtlError(problem, remedy=f"give a number for each of {sorted(moment.tasks)}")
        wrong = {t: p for t, p in probabilities.items() if not (math.isfinite(p) and p >= 0)}
        if wrong:
            raise EmomtlError(f"gives {wrong}", remedy="probabilities are finite and >= 0")
        total = math.fsum(probabilities.values())
        if abs(total - 1) > 1e-6:
            raise EmomtlError(f"sums to {total:.6g}", remedy="divide by the sum")
        reversed_sizes = dict(reversed(list(moment.sizes.items())))
        other = dict(sampler.probabilities(replace(moment, sizes=reversed_sizes)))
        if dict(sampler.probabilities(moment)) != probabilities:
            problem = "the same moment gives other numbers when it is asked again"
            raise EmomtlError(problem, remedy="keep no state, draw nothing")
        for task, p in probabilities.items():
            if not ordered and not math.isclose(other.get(task, -1.0), p, abs_tol=1e-9):
                problem = "the order of the tasks changes the numbers"
                raise EmomtlError(problem, remedy="go by names; or check with ordered=True")
