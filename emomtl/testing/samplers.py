"""The check for samplers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from emomtl.contracts.sampler import Moment, Sampler
from emomtl.errors import EmomtlError
from emomtl.testing.findings import Findings

SIZES = (
    {"only": 500},
    {"large": 60_000, "small": 800},
    {"one": 43_410, "two": 67_349, "three": 8_062, "four": 1_600_000, "five": 1},
)
"""Training rows of one, two and five tasks; the last are far from even."""


def check_sampler(sampler: Sampler, sizes: Mapping[str, int] | None = None, *, ordered: bool = False) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of a sampler and that does not hold.

    At the begin, middle and end of a run, jointly and not, with and without losses and scores, for one, two and five tasks,
    the probabilities must name every task and no other, be finite and >= 0, sum to 1 within 1e-6, be the same when asked again
    (whatever was asked in between), and not depend on the order of the tasks.

    `sizes` are training rows by task, for a sampler whose options name tasks; `ordered=True` allows one that goes by the
    manifest's order, as round-robin does.
    """
    findings = Findings(f"sampler {type(sampler).__name__}")
    findings.options(sampler)
    for some in (sizes,) if sizes is not None else SIZES:
        with findings.trying(f"check({dict(some)})"):
            sampler.check(some)
        for moment in _moments(some):
            _check_moment(findings, sampler, moment, ordered)
    findings.done()


def _moments(sizes: Mapping[str, int]) -> Iterator[Moment]:
    """Moments from the first step to the last, of a run of one epoch and of ten."""
    for epochs in (1, 10):
        for step, progress in ((0, 0.0), (3, 0.06), (25, 0.5), (50, 1.0)):
            begun = step > 0
            for joint in (False, True):
                yield Moment(
                    step=step,
                    progress=progress,
                    epoch=min(epochs - 1, int(progress * epochs)),
                    epochs=epochs,
                    sizes=sizes,
                    counts={task: 32 * step // (i + 1) for i, task in enumerate(sizes)},
                    losses={task: 0.4 + 0.3 * i for i, task in enumerate(sizes)} if begun else {},
                    scores={task: {"macro_f1": 0.8 - 0.1 * i} for i, task in enumerate(sizes)} if begun else {},
                    evaluation=step // 10,
                    joint=joint,
                    seed=17,
                )


def _check_moment(findings: Findings, sampler: Sampler, moment: Moment, ordered: bool) -> None:
    where = f"{len(moment.sizes)} task(s), step {moment.step}, progress {moment.progress}, joint {moment.joint}"
    with findings.trying(f"probabilities ({where})"):
        found = dict(sampler.probabilities(moment))
        if set(found) != set(moment.tasks):
            raise EmomtlError(f"names {sorted(found)}", remedy=f"give a number for each of {sorted(moment.tasks)}")
        wrong = {task: p for task, p in found.items() if not (math.isfinite(p) and p >= 0)}
        if wrong:
            raise EmomtlError(f"gives {wrong}", remedy="probabilities are finite and >= 0")
        total = math.fsum(found.values())
        if abs(total - 1) > 1e-6:
            raise EmomtlError(f"sums to {total:.6g}", remedy="divide by the sum")
        backwards = _reversed(moment)
        other = dict(sampler.probabilities(backwards))
        if dict(sampler.probabilities(moment)) != found:
            raise EmomtlError("the same moment gives other numbers when it is asked again", remedy="keep no state, draw nothing")
        if not ordered and any(not math.isclose(other.get(task, -1.0), p, abs_tol=1e-9) for task, p in found.items()):
            raise EmomtlError("the order of the tasks changes the numbers", remedy="go by names; or check with ordered=True")


def _reversed(moment: Moment) -> Moment:
    """The same moment of a run whose manifest names its tasks in the reverse order."""
    sizes = dict(reversed(list(moment.sizes.items())))
    values = {name: getattr(moment, name) for name in moment.__dataclass_fields__}
    return Moment(**{**values, "sizes": sizes})
