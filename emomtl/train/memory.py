"""A device that runs out of memory in a step: said with tasks and tokens, or answered by smaller micro-batches."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import torch

from emomtl.errors import Problem
from emomtl.model.device import OutOfMemory
from emomtl.train.anomalies import last_good

if TYPE_CHECKING:
    from emomtl.train.draw import Drawing, Part
    from emomtl.train.session import Session


def too_large(session: Session, parts: list[Part]) -> Problem:
    """What is said of a micro-batch that does not fit: its tasks, how many texts of which length, and what to change."""
    tasks = ", ".join(task for part in parts for task in part.targets)
    sizes = " and ".join("{} texts of {} tokens".format(*part.inputs["input_ids"].shape) for part in parts)
    asked = _may_split(session)
    again = "" if session.plan.manifest.encoder.checkpoint_layers else "set encoder.checkpoint_layers = true, "
    ways = f"raise train.accumulate, {again}or lower train.batch_size or encoder.max_tokens"
    if session.ranks.world_size == 1:
        ways += '; train.on_out_of_memory = "split" cuts by itself'
    alone = f"a text alone does not fit: lower encoder.max_tokens, {again}or take a smaller encoder"
    remedy = alone if asked else ways
    found = f"the device ran out of memory at step {session.state.step + 1} on a micro-batch of {sizes}"
    return Problem(tasks, found, f"{remedy}; {last_good(session.run)}")


def no_room_to_update(session: Session) -> Problem:
    """What is said where the optimiser's step does not fit, which no smaller batch would mend."""
    found = f"the device ran out of memory in the optimiser at step {session.state.step + 1}"
    needs = "gradients and moments take three times what the weights take"
    return Problem("train", found, f"{needs}: take a smaller encoder, or freeze a part of it with [[encoder.changes]]")


def cut_further(session: Session, drawing: Drawing, error: OutOfMemory) -> None:
    """Let the step, and every later one, be cut into twice as many micro-batches; raises the error where that is not to be.

    What the step has gathered is dropped, so that it begins anew. The number is in the run's state: a resumed run starts with it.
    """
    state = session.state
    if not _may_split(session) or max(part.rows for parts in drawing.micro for part in parts) < 2:
        raise error
    state.cut *= 2
    session.optimizer.zero_grad(set_to_none=True)
    session.plan.weighting.forget(session.weighting)
    if session.by_task is not None:
        session.by_task.forget()
    gc.collect()
    torch.cuda.empty_cache()
    pieces = session.plan.manifest.train.accumulate * state.cut
    session.run.log_event("split", step=state.step + 1, micro_batches=pieces)
    line = f"{error.problems[0].place}: {error.problems[0].found}; from here on a step has {pieces} of them"
    session.run.log(line)
    session.display.note(line)


def _may_split(session: Session) -> bool:
    """Whether a step may be cut further; several processes would have to cut theirs alike, so of them none does."""
    return session.plan.manifest.train.on_out_of_memory == "split" and session.ranks.world_size == 1
