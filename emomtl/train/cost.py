"""What a run will cost on this machine: a few real steps in a temporary folder, scaled to the whole run."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from emomtl.compose import Plan
from emomtl.data.corpus import TaskData
from emomtl.model.network import count_parameters
from emomtl.train.display import Display
from emomtl.train.forecast import Lengths
from emomtl.train.full_length import try_full_length
from emomtl.train.origin import origin_of
from emomtl.train.phases import Phases
from emomtl.train.profiling import Profile
from emomtl.train.reading import read, tokenise_all
from emomtl.train.session import Session
from emomtl.train.starting import start
from emomtl.train.step import try_step

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE = 2048
"""Rows of a task that are tokenised, and from which the steps are drawn."""

SECONDS = 2.0
"""Seconds of calibrated steps; at least four steps are taken."""

SCORED = 256
"""Validation rows of a task that are scored."""


@dataclass(frozen=True)
class Calibration:
    """What a few steps measured; seconds are of this machine, bytes of this model.

    `step` is the part of a step's time that does not grow with its texts (the optimiser, the draw), `token` the time of one
    real token forward and backward, `scored_token` of one in scoring. `activations` is the most that one micro-batch of the
    first step kept for its backward pass (on CUDA: the most that its forward pass allocated). `parameters` are counts, as
    `count_parameters` gives them. `notes` say what there is to say of the encoder.
    """

    lengths: Lengths
    losses: dict[str, float]
    steps: int
    step: float
    token: float
    scored_token: float
    parameters: dict[str, Any]
    memory: dict[str, int]
    notes: tuple[str, ...] = ()


def sample_lengths(plan: Plan) -> tuple[Lengths, tuple[str, ...]]:
    """Mean tokens of each task's texts, from at most SAMPLE rows a task, and notes on the encoder, which is loaded for it."""
    few = _few(plan)
    data = read(few, Display())
    origin = origin_of(plan)
    tokens = tokenise_all(data, origin.encoder.tokenizer, plan.encoder, Display())
    return Lengths.of(data, tokens), origin.notes


def calibrate(plan: Plan) -> Calibration:
    """Try a text of full length, take a step that is not timed, then steps for about two seconds, then score; nothing is kept."""
    with tempfile.TemporaryDirectory(prefix="emomtl-check-") as folder:
        session = start(_few(plan), Path(folder) / "run", Display())
        try:
            session.model.train()
            parameters = count_parameters(session.model)
            try_full_length(session)
            session.phases = kept = _Kept(session)
            losses = try_step(session)
            session.phases = profile = Profile(session.device, session.model.changes.per_task)
            began = time.perf_counter()
            while profile.steps < 4 or time.perf_counter() - began < SECONDS:
                with profile("other"):
                    try_step(session)
            passes = profile.seconds["forward"] + profile.seconds["backward"]
            rest = sum(profile.seconds.values()) - passes
            return Calibration(
                Lengths.of(session.data, session.tokens),
                losses,
                profile.steps,
                rest / profile.steps,
                passes / profile.real,
                _scored_token(session),
                parameters,
                memory(session) | {"activations": kept.most},
                tuple(session.encoder_notes),
            )
        finally:
            session.run.close()


def estimate(expected: dict[str, Any], found: Calibration, plan: Plan, data: TaskData) -> dict[str, Any]:
    """Seconds and bytes of a whole run, from its forecast and a calibration; checkpoints and reading are not in it."""
    training = expected["steps"] * found.step + expected["tokens"] * found.token
    scored = sum(
        len(corpus.splits["validation"]) * found.lengths.corpora.get((corpus.name, "validation"), 0.0) for corpus in data.corpora
    )
    every = plan.manifest.eval.every
    evaluations = math.ceil(expected["steps"] / every) if every else max(1, math.ceil(expected["epochs"] - 1e-9))
    passes = 1 if plan.manifest.train.ema is None else 2  # raw weights and their average are both scored
    scoring = evaluations * passes * scored * found.scored_token
    return {
        "evaluations": evaluations,
        "calibrated_steps": found.steps,
        "seconds": {"training": training, "scoring": scoring, "total": training + scoring},
        "parameters": found.parameters["total"],
        "sharing": {what: count for what, count in found.parameters.items() if what != "total"},
        "memory_bytes": found.memory | {"total": sum(found.memory.values())},
    }


def memory(session: Session) -> dict[str, int]:
    """Bytes of the parameters, of their gradients with those that a weighting keeps apart, of AdamW's two moments, and of the
    average of the weights where one is kept.
    """
    trained = [p for group in session.optimizer.param_groups for p in group["params"]]
    every = {id(p): p for p in (*session.model.parameters(), *session.weighting.parameters(), *trained)}
    gradients = _bytes(trained)
    kept = _bytes(session.weighting.buffers())
    average = {} if session.average is None else {"average": session.average.size()}
    return {"parameters": _bytes(every.values()), "gradients": gradients + kept, "moments": 2 * gradients, **average}


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _few(plan: Plan) -> Plan:
    """The plan on a sample of its rows, and without the run that comes before."""
    tasks = {}
    for name, bound in plan.tasks.items():
        table = bound.table
        few = {"limit": min(SAMPLE, table.limit or SAMPLE), "eval_limit": min(SCORED, table.eval_limit or SCORED)}
        tasks[name] = replace(bound, table=table.model_copy(update=few))
    return replace(plan, tasks=tasks, before=None)


def _scored_token(session: Session) -> float:
    """Seconds a real token in scoring."""
    tokens, spent = 0, 0.0
    for corpus in session.data.corpora:
        mine = session.tokens[corpus.name, "validation"]
        began = time.perf_counter()
        heads = {task: session.plan.tasks[task].head for task in corpus.tasks}
        session.evaluator.outputs(heads, mine)
        spent += time.perf_counter() - began
        tokens += int(mine.lengths.sum())
    return spent / max(1, tokens)


class _Kept(Phases):
    """Bytes that the forward pass of a micro-batch keeps for its backward pass, the most of all; parameters are no part of it.

    On a CPU those tensors are counted; on CUDA it is what was allocated at the peak of the pass beyond what was there before.
    """

    def __init__(self, session: Session) -> None:
        self.most = 0
        self._cuda = session.device == "cuda"
        self._parameters = {p.untyped_storage().data_ptr() for p in session.model.parameters()}
        self._storages: dict[int, int] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """A phase of the step; only the forward pass is looked at."""
        if name != "forward":
            yield
            return
        self._storages.clear()
        before = 0
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor):
            yield
        kept = torch.cuda.max_memory_allocated() - before if self._cuda else sum(self._storages.values())
        self.most = max(self.most, kept)

    def _keep(self, tensor: Tensor) -> Tensor:
        """Hear of a tensor that is kept; several views of one memory count once."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._parameters:
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor
