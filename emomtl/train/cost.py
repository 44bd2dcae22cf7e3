"""What a run will cost on this machine: a few real steps, scaled to the whole run."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from emomtl.compose import Plan
from emomtl.data.corpus import TaskData
from emomtl.model.network import MultiTaskModel, count_parameters
from emomtl.train.display import Display, Phases
from emomtl.train.forecast import MeanLengths
from emomtl.train.full_length import try_full_length
from emomtl.train.origin import origin_of
from emomtl.train.profiling import Profile
from emomtl.train.reading import read, tokenise_all
from emomtl.train.session import Session
from emomtl.train.start import start
from emomtl.train.step import try_step

if TYPE_CHECKING:
    from torch import Tensor

SAMPLED_ROWS = 2048
"""Rows of a task that are tokenised, and from which the steps are drawn."""

SCORED_ROWS = 256
"""Validation rows of a task that are scored."""

SECONDS = 2.0
"""Seconds of measured steps; at least LEAST_STEPS are taken."""

LEAST_STEPS = 4


@dataclass(frozen=True)
class MeasuredCost:
    """What a few steps measured, on this machine with this model.

    `losses` are those of the first step. `step_seconds` is the part of a step's time that does not
    grow with its texts, `token_seconds` the time of one real token forward and backward,
    `scored_token_seconds` of one in scoring. `memory` is in bytes; its `activations` are the most
    that a micro-batch of the first step kept for its backward pass. `parameters` are those of
    `count_parameters`, `notes` those on the encoder.
    """

    lengths: MeanLengths
    losses: dict[str, float]
    steps: int
    step_seconds: float
    token_seconds: float
    scored_token_seconds: float
    parameters: dict[str, Any]
    memory: dict[str, int]
    notes: tuple[str, ...] = ()


def sample_lengths(plan: Plan) -> tuple[MeanLengths, tuple[str, ...]]:
    """Mean tokens of each task's texts, from a sample of its rows, and notes on the encoder."""
    sample = _on_a_sample(plan)
    data = read(sample, Display())
    origin = origin_of(plan)
    tokens = tokenise_all(data, origin.encoder.tokenizer, plan.encoder, Display())
    return MeanLengths.of(data, tokens), origin.notes


def measure_cost(plan: Plan) -> MeasuredCost:
    """Try a text of full length, take a step, then measured steps, then score; nothing is kept."""
    with tempfile.TemporaryDirectory(prefix="emomtl-check-") as folder:
        session = start(_on_a_sample(plan), Path(folder) / "run", Display())
        notes = tuple(session.reporter.notes)
        try:
            model = session.model
            model.train()
            parameters = count_parameters(model)  # before a schedule opens frozen layers
            max_tokens = plan.encoder.max_tokens
            try_full_length(session.losses, session.data, session.tokens, max_tokens)
            # The first step is slower than the others; it is not timed.
            session.phases = activations = _ActivationMemory(model, session.losses.device)
            losses = try_step(session)
            profile = Profile(session.losses.device, model.changes.per_task)
            session.phases = profile
            began = time.perf_counter()
            while profile.steps < LEAST_STEPS or time.perf_counter() - began < SECONDS:
                with profile("other"):
                    try_step(session)
            passes = profile.seconds["forward"] + profile.seconds["backward"]
            constant = sum(profile.seconds.values()) - passes
            return MeasuredCost(
                lengths=MeanLengths.of(session.data, session.tokens),
                losses=losses,
                steps=profile.steps,
                step_seconds=constant / profile.steps,
                token_seconds=passes / profile.real,
                scored_token_seconds=_scored_token_seconds(session),
                parameters=parameters,
                memory=static_memory(session) | {"activations": activations.most},
                notes=notes,
            )
        finally:
            session.run.close()


def estimate(
    expected: dict[str, Any], cost: MeasuredCost, plan: Plan, data: TaskData
) -> dict[str, Any]:
    """Seconds and bytes of a whole run, from its forecast; without reading and checkpoints."""
    training = expected["steps"] * cost.step_seconds + expected["tokens"] * cost.token_seconds
    scored_tokens = 0.0
    for corpus in data.corpora:
        mean = cost.lengths.corpora.get((corpus.name, "validation"), 0.0)
        scored_tokens += len(corpus.splits["validation"]) * mean
    every = plan.manifest.eval.every
    if every:
        evaluations = math.ceil(expected["steps"] / every)
    else:
        evaluations = max(1, math.ceil(expected["epochs"] - 1e-9))
    passes = 1 if plan.manifest.train.ema is None else 2  # raw weights and their average
    scoring = evaluations * passes * scored_tokens * cost.scored_token_seconds
    parameters = dict(cost.parameters)
    total = parameters.pop("total")
    return {
        "evaluations": evaluations,
        "calibrated_steps": cost.steps,
        "seconds": {"training": training, "scoring": scoring, "total": training + scoring},
        "parameters": total,
        "sharing": parameters,
        "memory_bytes": cost.memory | {"total": sum(cost.memory.values())},
    }


def static_memory(session: Session) -> dict[str, int]:
    """Bytes that do not grow with a batch.

    Of the parameters, of their gradients with those that a weighting keeps apart, of AdamW's two
    moments, and of the average of the weights where one is kept.
    """
    groups = session.optimizer.param_groups
    trained = [parameter for group in groups for parameter in group["params"]]
    parameters = [*session.model.parameters(), *session.weighting.parameters(), *trained]
    each_once = {id(parameter): parameter for parameter in parameters}
    gradients = _bytes(trained)
    memory = {
        "parameters": _bytes(each_once.values()),
        "gradients": gradients + _bytes(session.weighting.buffers()),
        "moments": 2 * gradients,
    }
    if session.average is not None:
        memory["average"] = session.average.size()
    return memory


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _on_a_sample(plan: Plan) -> Plan:
    """The plan on a sample of its rows, and without the run that comes before."""
    tasks = {}
    for name, bound in plan.tasks.items():
        limits = {
            "limit": min(SAMPLED_ROWS, bound.table.limit or SAMPLED_ROWS),
            "eval_limit": min(SCORED_ROWS, bound.table.eval_limit or SCORED_ROWS),
        }
        tasks[name] = replace(bound, table=bound.table.model_copy(update=limits))
    return replace(plan, tasks=tasks, before=None)


def _scored_token_seconds(session: Session) -> float:
    """Seconds that scoring takes for a real token."""
    scored_tokens, seconds = 0, 0.0
    for corpus in session.data.corpora:
        tokens = session.tokens[corpus.name, "validation"]
        heads = {task: session.plan.tasks[task].head for task in corpus.tasks}
        began = time.perf_counter()
        session.evaluator.outputs(heads, tokens)
        seconds += time.perf_counter() - began
        scored_tokens += int(tokens.lengths.sum())
    return seconds / max(1, scored_tokens)


class _ActivationMemory(Phases):
    """Measures the bytes that forward passes keep for their backward passes; `most` is the maximum.

    On a CPU those tensors are counted, without parameters; on CUDA it is what was allocated at the
    peak of the pass beyond what was there before.
    """

    def __init__(self, model: MultiTaskModel, device: str) -> None:
        self.most = 0
        self._on_cuda = device == "cuda"
        self._parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self._storages: dict[int, int] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """A phase of the step; only the forward pass is measured."""
        if name != "forward":
            yield
            return
        self._storages.clear()
        before = 0
        if self._on_cuda:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        with torch.autograd.graph.saved_tensors_hooks(self._count, lambda tensor: tensor):
            yield
        if self._on_cuda:
            activations = torch.cuda.max_memory_allocated() - before
        else:
            activations = sum(self._storages.values())
        self.most = max(self.most, activations)

    def _count(self, tensor: Tensor) -> Tensor:
        """Count a tensor that is saved; several views of one memory count once."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._parameters:
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor
