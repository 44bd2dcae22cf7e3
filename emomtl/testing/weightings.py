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
    "emotions": TaskFacts(43_410, 28, "labels"),
    "mood": TaskFacts(800, 2, "labels"),
    "arousal": TaskFacts(8_062, 3, "numbers"),
}
"""Three tasks, one of each kind of head."""

STEPS, LR = 8, 0.05


def check_weighting(weighting: Weighting, tasks: Mapping[str, TaskFacts] | None = None) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of a weighting and that does not
    hold.

    A shared linear layer with one small head a task is trained for eight steps. Gradients must
    reach the shared parameters and be finite, and every loss must get a finite weight, losses of 0
    too. A state that was saved and loaded must go on identically. A step may lack any task, also
    where the weighting is `joint`: none of its rows may have a label of it. Two micro-batches with
    a share of 0.5 must give the gradient of one whole step, and a step that begins anew after its
    first one that of a step which did not. A step is as in the loop: `backward`, `finish`, the
    update, `look`.

    `tasks` are what is known of the run's tasks, for a weighting whose options name tasks.
    """
    findings = Findings(f"weighting {type(weighting).__name__}")
    findings.options(weighting)
    facts = dict(FACTS if tasks is None else tasks)
    with findings.trying("check() with the tasks of the run"):
        weighting.check(facts)
    with findings.trying("training for some steps"):
        _Trial(weighting, facts).train(range(STEPS))
    with findings.trying("a step whose losses are all 0"):
        _Trial(weighting, facts).step(0, scale=0.0)
    if not findings.problems:
        with findings.trying("saving its state and going on from it"):
            _check_resume(weighting, facts)
        for task in facts:
            with findings.trying(f"a step without '{task}'"):
                _check_missing(weighting, facts, task)
        with findings.trying("two micro-batches of share 0.5"):
            _check_shares(weighting, facts)
        with findings.trying("a step that begins anew after its first micro-batch"):
            _check_forget(weighting, facts)
    findings.done()


class _Trial:
    """A shared layer with one head a task, trained with a weighting, always from the same start."""

    def __init__(self, weighting: Weighting, facts: Mapping[str, TaskFacts]) -> None:
        import torch
        from torch import nn

        self.weighting, self.facts = weighting, facts
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.shared = nn.Linear(4, 3)
            self.heads = nn.ModuleList([nn.Linear(3, 1) for _ in facts])
            self.inputs = torch.randn(6, 4)
        shared = SharedParameters(self.shared.parameters(), last=[self.shared.bias])
        self.state = weighting.start(facts, shared)
        if not isinstance(self.state, nn.Module):
            problem = f"start() gives {type(self.state).__name__}"
            raise EmomtlError(problem, remedy="return an nn.Module, be it empty")

    def parameters(self) -> list[nn.Parameter]:
        """All that learns."""
        modules = (self.shared, self.heads, self.state)
        return [parameter for module in modules for parameter in module.parameters()]

    def losses(self, without: str = "") -> dict[str, Tensor]:
        """One mean squared error a task, each with another target."""
        pooled = self.shared(self.inputs).tanh()
        losses = {}
        for i, (task, head) in enumerate(zip(self.facts, self.heads, strict=True)):
            if task != without:
                losses[task] = ((head(pooled) - 1 - i) ** 2).mean()
        return losses

    def detached_losses(self, without: str = "") -> dict[str, Tensor]:
        """The same without graphs."""
        return {task: loss.detach() for task, loss in self.losses(without).items()}

    def train(self, steps: Sequence[int]) -> list[list[float]]:
        """Some steps of gradient descent; for each the weights and the shared gradient."""
        import torch

        history = []
        for step in steps:
            before = self.detached_losses()
            weights = self.step(step)
            history.append([*weights, *_gradient(self.shared)])
            with torch.no_grad():
                for parameter in self.parameters():
                    if parameter.grad is not None:
                        parameter.sub_(LR * parameter.grad)
                if self.weighting.looks_again:
                    self.weighting.look(self.state, before, self.losses(), self.moment(step))
        return history

    def step(self, step: int, without: str = "", scale: float = 1.0) -> list[float]:
        """The weights of one step, checked with the gradient that it leaves."""
        import torch

        self.clear_gradients()
        losses = {task: loss * scale for task, loss in self.losses(without).items()}
        torch.manual_seed(step)
        weights = dict(self.weighting.backward(self.state, losses, self.moment(step)))
        weights |= self.weighting.finish(self.state, self.moment(step)) or {}
        if set(weights) != set(losses):
            remedy = f"return one for each loss: {sorted(losses)}"
            raise EmomtlError(f"weights for {sorted(weights)}", remedy=remedy)
        values = [float(weight) for weight in weights.values()]
        if not all(map(math.isfinite, values)):
            problem = f"weights {dict(zip(weights, values, strict=True))}"
            raise EmomtlError(problem, remedy="keep them finite")
        gradient = _gradient(self.shared)
        if not gradient:
            problem = "no gradient reaches the shared parameters"
            raise EmomtlError(problem, remedy="keep the losses in the total, undetached")
        if not all(map(math.isfinite, [*gradient, *_gradient(self.state)])):
            problem = "the gradient is not finite"
            raise EmomtlError(problem, remedy="guard divisions and logarithms")
        if scale and not any(gradient):
            problem = "the gradient of the shared parameters is 0"
            raise EmomtlError(problem, remedy="let some loss keep a weight above 0")
        return values

    def clear_gradients(self) -> None:
        """As the optimiser does before a step."""
        for parameter in self.parameters():
            parameter.grad = None

    def moment(self, step: int) -> Moment:
        """The moment of a step, with three steps an epoch and an evaluation every four."""
        sizes = {task: facts.size for task, facts in self.facts.items()}
        moment = Moment(step, step / STEPS, step // 3, 3, sizes, joint=True, seed=17)
        moment = replace(moment, counts=dict.fromkeys(sizes, 6 * step), evaluation=step // 4)
        if step:
            losses = {task: 0.5 + 0.2 * i for i, task in enumerate(sizes)}
            moment = replace(moment, losses=losses)
        if step >= 4:
            scores = {"macro_f1": 0.3 + step / 40, "pearson_r": 0.2 + step / 40}
            moment = replace(moment, scores=dict.fromkeys(sizes, scores))
        return moment


def _gradient(module: nn.Module) -> list[float]:
    """The gradient of a module's parameters, flat; empty where none arrived."""
    gradients = [parameter.grad for parameter in module.parameters()]
    return [x for grad in gradients if grad is not None for x in grad.flatten().tolist()]


def _check_resume(weighting: Weighting, facts: Mapping[str, TaskFacts]) -> None:
    unbroken, resumed = _Trial(weighting, facts), _Trial(weighting, facts)
    unbroken.train(range(STEPS // 2))
    resumed.shared.load_state_dict(unbroken.shared.state_dict())
    resumed.heads.load_state_dict(unbroken.heads.state_dict())
    resumed.state.load_state_dict(copy.deepcopy(unbroken.state.state_dict()))
    remaining = range(STEPS // 2, STEPS)
    if unbroken.train(remaining) != resumed.train(remaining):
        problem = "a resumed run gets other weights or gradients"
        remedy = "keep what it remembers in buffers or parameters of start()"
        raise EmomtlError(problem, remedy=remedy)


def _check_missing(weighting: Weighting, facts: Mapping[str, TaskFacts], task: str) -> None:
    """A step that lacks a task, then one that has all again."""
    trial = _Trial(weighting, facts)
    trial.step(0, without=task)
    if weighting.looks_again:
        losses = trial.detached_losses(without=task)
        weighting.look(trial.state, losses, losses, trial.moment(0))
    trial.step(1)


def _check_shares(weighting: Weighting, facts: Mapping[str, TaskFacts]) -> None:
    import torch

    gradients = []
    for micro_batches in (1, 2):
        trial = _Trial(weighting, facts)
        moment = replace(trial.moment(0), share=1 / micro_batches)
        if weighting.looks_ahead and micro_batches > 1:
            moment = replace(moment, ahead=trial.detached_losses())
        for _ in range(micro_batches):
            weighting.backward(trial.state, trial.losses(), moment)
        torch.manual_seed(0)
        weighting.finish(trial.state, trial.moment(0))
        gradients.append(_gradient(trial.shared))
    for once, twice in zip(*gradients, strict=True):
        if not math.isclose(once, twice, rel_tol=1e-4, abs_tol=1e-6):
            problem = "the gradient is not that of one whole step"
            raise EmomtlError(problem, remedy="weights must not change within a step")


def _check_forget(weighting: Weighting, facts: Mapping[str, TaskFacts]) -> None:
    import torch

    gradients = []
    for begins_anew in (False, True):
        trial = _Trial(weighting, facts)
        moment = trial.moment(0)
        if weighting.looks_ahead:
            moment = replace(moment, ahead=trial.detached_losses())
        if begins_anew:
            torch.manual_seed(0)
            weighting.backward(trial.state, trial.losses(), replace(moment, share=0.5))
            trial.clear_gradients()
            weighting.forget(trial.state)
        torch.manual_seed(0)
        weighting.backward(trial.state, trial.losses(), moment)
        weighting.finish(trial.state, trial.moment(0))
        gradients.append([*_gradient(trial.shared), *_gradient(trial.state)])
    if gradients[0] != gradients[1]:
        problem = "the gradient is not that of a step that began once"
        raise EmomtlError(problem, remedy="drop in `forget` what `backward` gathered")
