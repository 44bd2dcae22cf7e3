"""The course of a measurement: a run in memory, and a probe every so many steps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emomtl.analyses.affinity.probe import Measurement, probe
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from emomtl.compose import Plan
    from emomtl.data.corpus import Corpus
    from emomtl.train.draw import Feeder, Part
    from emomtl.train.session import Session


RATE = 1e-4
"""The length of the look-ahead step: large enough for fp32 to tell its effect, small enough to be
nearly of first order, where Z grows with the step and the order of auxiliaries stays (docs/log.md,
2026-11-30).
"""


@dataclass(frozen=True)
class Affinity:
    """All measurements of a course, with the steps after which they were made and the length of the
    look-ahead step.
    """

    tasks: tuple[str, ...]
    steps: tuple[int, ...]
    rate: float
    measurements: tuple[Measurement, ...]


def affinity(
    plan: Plan,
    steps: int = 200,
    every: int = 10,
    rate: float = RATE,
    told: Callable[[int], None] | None = None,
) -> Affinity:
    """Train the plan for `steps` steps in a temporary folder and measure after every `every`;
    nothing of it is kept.

    The run is the manifest's own (sampler, weighting, objectives, warm-up and decay), `steps` long.
    `rate` is the length of the look-ahead step, one for all tasks and the whole course; the paper
    takes the learning rate of the moment times the gradient, which would weigh measurements of
    warm-up and decay less and tasks with large losses more. `told` hears the step of each
    measurement.
    """
    from emomtl.train import Display
    from emomtl.train.start import start
    from emomtl.train.step import try_step

    if len(plan.tasks) < 2:
        raise EmomtlError(
            Problem(
                "tasks",
                "one task alone has no auxiliaries",
                "put the candidates into the manifest, too",
            )
        )
    if steps < every:
        raise EmomtlError(
            Problem(
                "--steps",
                f"{steps} steps end before the first measurement",
                f"at least {every}, or `--every`",
            )
        )
    with tempfile.TemporaryDirectory(prefix="emomtl-affinity-") as folder:
        session = start(_of_length(plan, steps), Path(folder) / "run", Display())
        try:
            session.model.train()
            found: dict[int, Measurement] = {}
            for step in range(1, steps + 1):
                try_step(session)
                if step % every == 0:
                    found[step] = measure(session, step, rate)
                    if told is not None:
                        told(step)
        finally:
            session.run.close()
    return Affinity(tuple(plan.tasks), tuple(found), rate, tuple(found.values()))


def measure(session: Session, step: int, rate: float) -> Measurement:
    """Probe a session as it stands, without dropout and in fp32, on a batch of each task that
    depends on seed and step.
    """
    from emomtl.train.step import losses_of

    parts = batches(session, step)
    parameters = {
        name: one for name, one in session.model.encoder.named_parameters() if one.requires_grad
    }
    with _calm(session):
        return probe(lambda: _ordered(session, losses_of(session, parts)), parameters, rate)


def batches(session: Session, step: int) -> list[Part]:
    """A batch of labelled training texts for every task; tasks of one corpus get the same texts as
    long as they share any.

    A task whose head reads tokens changes them, and so has a part of its own, of the same texts.
    """
    from emomtl.contracts.heads import encoder_passes
    from emomtl.seeds import generator

    feeder, parts = session.feeder, []
    for corpus in session.data.corpora:
        rows = {task: _labelled(feeder, corpus, task) for task in corpus.tasks}
        shared = next(iter(rows.values()))
        for one in rows.values():
            shared = np.intersect1d(shared, one)
        together = (
            [(list(rows), shared)] if len(shared) else [([task], one) for task, one in rows.items()]
        )
        for tasks, choice in together:
            size = min(len(choice), max(feeder.batches[task] for task in tasks))
            chosen = generator(feeder.seed, "affinity", tasks[0], step).choice(
                choice, size, replace=False
            )
            for names in encoder_passes(tasks, feeder.heads):
                parts.append(feeder.part(corpus.name, dict.fromkeys(names, chosen), 0, step))
    return parts


def _labelled(feeder: Feeder, corpus: Corpus, task: str) -> NDArray[np.int64]:
    """The task's training rows of which something is known."""
    index = corpus.rows[task, "train"].index
    return index[feeder.known[task][index] > 0]


def _ordered(session: Session, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Losses in the order of the manifest's tasks; refused where one has none, as no token of its
    texts was hidden.
    """
    if lacking := [task for task in session.plan.tasks if task not in losses]:
        found = f"the batch of step {session.state.step} has nothing to measure it on"
        remedy = "a larger train.batch_size, or a head that asks for more tokens"
        raise EmomtlError(*(Problem(f"tasks.{task}", found, remedy) for task in lacking))
    return {task: losses[task] for task in session.plan.tasks}


@contextmanager
def _calm(session: Session) -> Iterator[None]:
    """Without dropout, and in fp32: a small step changes a loss by less than bf16 can tell."""
    training, precision = session.model.training, session.losses.precision
    session.model.eval()
    session.losses.precision = "fp32"
    try:
        yield
    finally:
        session.model.train(training)
        session.losses.precision = precision


def _of_length(plan: Plan, steps: int) -> Plan:
    """The plan as a run of that many steps."""
    train = plan.manifest.train.model_copy(
        update={"steps": steps, "epochs": None, "target": None, "target_updates": None}
    )
    return replace(plan, manifest=plan.manifest.model_copy(update={"train": train}))
