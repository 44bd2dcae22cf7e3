"""A session goes on from a checkpoint: tensors, counters, and all that has to be in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.metrics.selection import EMA
from emomtl.model.averaging import Average
from emomtl.model.build import restore_model
from emomtl.run import Checkpoint
from emomtl.train.state import State

if TYPE_CHECKING:
    from emomtl.train.session import Session


def restore(session: Session, checkpoint: Checkpoint) -> None:
    """Give a session the tensors and counters of a checkpoint; what is missing, or has another shape, is an error."""
    _check_facts(session, checkpoint)
    restore_model(session.model, checkpoint)
    session.slimmed = not checkpoint.has("optimizer")
    saved = {} if session.slimmed else checkpoint.tensors("optimizer")
    try:
        session.weighting.load_state_dict(checkpoint.tensors("weighting"))
        _restore_optimizer(session, saved)
        if session.average is not None:
            _restore_average(session, session.average, checkpoint)
        session.state = State.from_json(checkpoint.state["run"])
        session.state.check(list(session.plan.tasks), checkpoint.step)
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        found = f"is not what this run's training writes: {clean(str(error), 200)}"
        raise EmomtlError(Problem(str(checkpoint.path), found, "use another checkpoint, or start a new run")) from error
    session.window = {task: torch.tensor(total, device=session.device) for task, (total, _) in session.state.window.items()}


def _restore_average(session: Session, average: Average, checkpoint: Checkpoint) -> None:
    """The averaged weights; where a run keeps an average only from now on, it begins with the weights as they are."""
    if checkpoint.has(EMA):
        average.restore(checkpoint.tensors(EMA))
        return
    average.begin()
    session.display.note(f"train.ema: the average of the weights begins at step {checkpoint.step:,}")


def _check_facts(session: Session, checkpoint: Checkpoint) -> None:
    """What a checkpoint says beside its state: labels that the heads answer with, events, processes."""
    own = {name: list(bound.head.outputs(session.data.taxonomies[name])) for name, bound in session.plan.tasks.items()}
    wrong = [f"tasks.{name}" for name, labels in checkpoint.labels.items() if own.get(name) != labels]
    if wrong or checkpoint.labels.keys() != own.keys():
        found = "the checkpoint was trained on other labels, or on the same in another order"
        remedy = "give the labels in the manifest as they were (environment.json says what has changed), or start a new run"
        raise EmomtlError(*(Problem(place, found, remedy) for place in wrong or ["tasks"]))
    counts = [checkpoint.state.get("events"), checkpoint.state.get("processes", 1)]
    if not all(type(count) is int and count >= 0 for count in counts):
        found = "it does not say how far the events go, or how many processes there were"
        raise EmomtlError(Problem(str(checkpoint.path), found, "use another checkpoint, or start a new run"))


def _restore_optimizer(session: Session, saved: Mapping[str, torch.Tensor]) -> None:
    for group in session.optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            slots = {key: saved[f"{key}:{name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}:{name}" in saved}
            if any(value.numel() > 1 and value.shape != parameter.shape for value in slots.values()):
                raise ValueError(f"the optimiser's figures of {name} have another shape")
            if len(slots) in (1, 2):
                raise ValueError(f"the optimiser's figures of {name} are not complete")
            if slots:
                moments = {key: value.to(parameter.device) for key, value in slots.items()}
                session.optimizer.state[parameter] = moments
