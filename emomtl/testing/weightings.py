"""The check for weightings."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from emomtl.contracts.sampler import Moment
from emomtl.contracts.weighting import SharedParameters, TaskFacts, Weighting
from emomtl.errors import EmomtlError
from emomtl.testing.findings import Findings

if TYPE_CHECKING:
    from torch import Tensor, nn

FACTS = {
    "emotions": TaskFacts(43_410, 28, "multi-label"),
    "mood": TaskFacts(800, 2, "single-label"),
    "arousal": TaskFacts(8_062, 3, "regression"),
}
"""Three tasks, one of each kind of head."""

STEPS = 8


def check_weighting(weighting: Weighting, tasks: Mapping[str, TaskFacts] | None = None) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of a weighting and that does not hold.

    A shared linear layer with one small head a task is trained for eight steps: gradients must arrive at the shared
    parameters and be finite, every loss must get a finite weight, losses of 0 too. A state that was saved and loaded must
    go on identically. A step may lack any task, also where the weighting is `joint`: none of its rows may have a label of it.
    Two micro-batches with a share of 0.5 must give the gradient of one whole step, and a step that begins anew after its first
    one that of a step which did not. A step is what it is in the loop: `backward`, `finish`, the update, `look`.

    `tasks` are what is known of the run's tasks, for a weighting whose options name tasks.
    """
    findings = Findings(f"weighting {type(weighting).__name__}")
    findings.options(weighting)
    facts = dict(tasks if tasks is not None else FACTS)
    with findings.trying("check() with the tasks of the run"):
        weighting.check(facts)
    bench = _Bench(weighting, facts)
    with findings.trying("training for some steps"):
        bench.train(bench.start(), range(STEPS))
    with findings.trying("a step whose losses are all 0"):
        bench.step(bench.start(), 0, scale=0.0)
    if not findings.problems:
        with findings.trying("saving its state and going on from it"):
            _check_round_trip(bench)
        for task in facts:
            with findings.trying(f"a step without '{task}'"):
                bench.without(task)
        with findings.trying("two micro-batches of share 0.5"):
            _check_shares(bench)
        with findings.trying("a step that begins anew after its first micro-batch"):
            _check_forgetting(bench)
    findings.done()


class _Bench:
    """A shared layer with one head a task, on which a weighting is tried; the same numbers every time."""

    def __init__(self, weighting: Weighting, facts: Mapping[str, TaskFacts]) -> None:
        self.weighting, self.facts = weighting, facts

    def start(self) -> _Trial:
        """A fresh trial."""
        import torch
        from torch import nn

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            shared = nn.Linear(4, 3)
            heads = nn.ModuleList([nn.Linear(3, 1) for _ in self.facts])
            inputs = torch.randn(6, 4)
        state = self.weighting.start(self.facts, SharedParameters(shared.parameters(), last=[shared.bias]))
        if not isinstance(state, nn.Module):
            raise EmomtlError(f"start() gives {type(state).__name__}", remedy="return an nn.Module, be it empty")
        return _Trial(shared, heads, inputs, state)

    def train(self, trial: _Trial, steps: Sequence[int]) -> list[list[float]]:
        """Some steps of gradient descent; for each the weights and the shared gradient, as plain numbers."""
        import torch

        found = []
        for step in steps:
            before = trial.losses(self.facts)
            weights = self.step(trial, step)
            found.append([*weights, *trial.gradient()])
            with torch.no_grad():
                for parameter in trial.parameters():
                    if parameter.grad is not None:
                        parameter.sub_(0.05 * parameter.grad)
                if self.weighting.looks_again:
                    seen = {task: loss.detach() for task, loss in before.items()}
                    self.weighting.look(trial.state, seen, trial.losses(self.facts), self.moment(step))
        return found

    def step(self, trial: _Trial, step: int, without: str = "", scale: float = 1.0) -> list[float]:
        """One backward, checked; gradients start from nothing. The weights, in the order of the losses."""
        import torch

        for parameter in trial.parameters():
            parameter.grad = None
        losses = {task: loss * scale for task, loss in trial.losses(self.facts).items() if task != without}
        torch.manual_seed(step)
        weights = dict(self.weighting.backward(trial.state, losses, self.moment(step)))
        weights |= self.weighting.finish(trial.state, self.moment(step)) or {}
        if set(weights) != set(losses):
            raise EmomtlError(f"weights for {sorted(weights)}", remedy=f"return one for each loss: {sorted(losses)}")
        values = [float(weight) for weight in weights.values()]
        if not all(math.isfinite(value) for value in values):
            raise EmomtlError(f"weights {dict(zip(weights, values, strict=True))}", remedy="keep them finite")
        gradient = trial.gradient()
        if not gradient:
            raise EmomtlError("no gradient reaches the shared parameters", remedy="keep the losses in the total, undetached")
        if not all(math.isfinite(value) for value in [*gradient, *trial.own_gradient()]):
            raise EmomtlError("the gradient is not finite", remedy="guard divisions and logarithms")
        if scale and not any(gradient):
            raise EmomtlError("the gradient of the shared parameters is 0", remedy="let some loss keep a weight above 0")
        return values

    def without(self, task: str) -> None:
        """A step that lacks a task, looked at if the weighting does that, and one that has all again."""
        trial = self.start()
        self.step(trial, 0, without=task)
        if self.weighting.looks_again:
            seen = {name: loss.detach() for name, loss in trial.losses(self.facts).items() if name != task}
            self.weighting.look(trial.state, seen, seen, self.moment(0))
        self.step(trial, 1)

    def moment(self, step: int) -> Moment:
        """The moment of a step: an epoch of three steps, an evaluation every four."""
        scores = {task: {"macro_f1": 0.3 + step / 40, "pearson_r": 0.2 + step / 40} for task in self.facts}
        return Moment(
            step=step,
            progress=step / STEPS,
            epoch=step // 3,
            epochs=3,
            sizes={task: facts.size for task, facts in self.facts.items()},
            counts=dict.fromkeys(self.facts, 6 * step),
            losses={task: 0.5 + 0.2 * i for i, task in enumerate(self.facts)} if step else {},
            scores=scores if step >= 4 else {},
            evaluation=step // 4,
            joint=True,
            seed=17,
        )


class _Trial:
    """The parameters, the inputs and the weighting's state of one trial."""

    def __init__(self, shared: nn.Module, heads: nn.ModuleList, inputs: Tensor, state: nn.Module) -> None:
        self.shared, self.heads, self.inputs, self.state = shared, heads, inputs, state

    def parameters(self) -> list[nn.Parameter]:
        """Everything that learns."""
        return [*self.shared.parameters(), *self.heads.parameters(), *self.state.parameters()]

    def losses(self, tasks: Mapping[str, TaskFacts]) -> dict[str, Tensor]:
        """One mean squared error a task, each with another target."""
        pooled = self.shared(self.inputs).tanh()
        return {task: ((head(pooled) - 1 - i) ** 2).mean() for i, (task, head) in enumerate(zip(tasks, self.heads, strict=True))}

    def gradient(self) -> list[float]:
        """The gradient of the shared parameters, flat; empty where none arrived."""
        grads = [parameter.grad for parameter in self.shared.parameters() if parameter.grad is not None]
        return [value for grad in grads for value in grad.flatten().tolist()]

    def own_gradient(self) -> list[float]:
        """The gradient of the weighting's own parameters, flat."""
        grads = [parameter.grad for parameter in self.state.parameters() if parameter.grad is not None]
        return [value for grad in grads for value in grad.flatten().tolist()]


def _check_round_trip(bench: _Bench) -> None:
    whole = bench.start()
    bench.train(whole, range(STEPS // 2))
    broken = bench.start()
    broken.shared.load_state_dict(whole.shared.state_dict())
    broken.heads.load_state_dict(whole.heads.state_dict())
    broken.state.load_state_dict(copy.deepcopy(whole.state.state_dict()))
    rest = range(STEPS // 2, STEPS)
    if bench.train(whole, rest) != bench.train(broken, rest):
        raise EmomtlError(
            "a resumed run gets other weights or gradients", remedy="keep what it remembers in buffers or parameters of start()"
        )


def _check_shares(bench: _Bench) -> None:
    import torch

    once, twice = bench.start(), bench.start()
    for trial, share in ((once, 1.0), (twice, 0.5)):
        ahead = {task: loss.detach() for task, loss in trial.losses(bench.facts).items()}
        now = replace(bench.moment(0), share=share, ahead=ahead if bench.weighting.looks_ahead and share < 1 else {})
        for _ in range(round(1 / share)):
            bench.weighting.backward(trial.state, trial.losses(bench.facts), now)
        torch.manual_seed(0)
        bench.weighting.finish(trial.state, bench.moment(0))
    if any(not math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in zip(once.gradient(), twice.gradient(), strict=True)):
        raise EmomtlError("the gradient is not that of one whole step", remedy="weights must not change within a step")


def _check_forgetting(bench: _Bench) -> None:
    import torch

    found = []
    for again in (False, True):
        trial = bench.start()
        losses = {task: loss.detach() for task, loss in trial.losses(bench.facts).items()}
        now = replace(bench.moment(0), ahead=losses if bench.weighting.looks_ahead else {})
        torch.manual_seed(0)
        if again:
            bench.weighting.backward(trial.state, trial.losses(bench.facts), replace(now, share=0.5))
            for parameter in trial.parameters():
                parameter.grad = None
            bench.weighting.forget(trial.state)
            torch.manual_seed(0)
        bench.weighting.backward(trial.state, trial.losses(bench.facts), now)
        bench.weighting.finish(trial.state, bench.moment(0))
        found.append([*trial.gradient(), *trial.own_gradient()])
    if found[0] != found[1]:
        raise EmomtlError(
            "the gradient is not that of a step that began once", remedy="drop in `forget` what `backward` gathered"
        )
