"""A device that runs out of memory in a step: an error with sizes, or smaller micro-batches."""

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
    """A micro-batch does not fit: its tasks, its texts and their length, and what to change."""
    tasks = ", ".join(task for part in parts for task in part.targets)
    sizes = [f"{n} texts of {t} tokens" for n, t in (p.inputs["input_ids"].shape for p in parts)]
    batch = f"a micro-batch of {' and '.join(sizes)}"
    finding = f"the device ran out of memory at step {session.state.step + 1} on {batch}"
    recompute = ""
    if not session.plan.manifest.encoder.checkpoint_layers:
        recompute = "set encoder.checkpoint_layers = true, "
    if _may_cut(session):
        # The loop has cut the step until a single text was left.
        remedy = (
            "a text alone does not fit: lower encoder.max_tokens, "
            f"{recompute}or take a smaller encoder"
        )
    else:
        remedy = (
            f"raise train.accumulate, {recompute}or lower train.batch_size or encoder.max_tokens"
        )
        if session.ranks.world_size == 1:
            remedy += '; train.on_out_of_memory = "split" cuts by itself'
    return Problem(tasks, finding, f"{remedy}; {last_good(session.run)}")


def no_room_to_update(session: Session) -> Problem:
    """The optimiser's update does not fit, which no smaller batch would mend."""
    step = session.state.step + 1
    finding = f"the device ran out of memory in the optimiser at step {step}"
    remedy = (
        "gradients and moments take three times what the weights take: take a smaller encoder, or "
        "freeze a part of it with [[encoder.changes]]"
    )
    return Problem("train", finding, remedy)


def cut_further(session: Session, drawing: Drawing, error: OutOfMemory) -> None:
    """Cut this step, and every later one, into twice as many micro-batches.

    Raises the error where `train.on_out_of_memory` forbids it, or where a text is alone already.
    What the step has gathered is dropped, so that it begins anew. The number is part of the run's
    state: a resumed run goes on with it.
    """
    state = session.state
    largest = max(part.rows for parts in drawing.micro for part in parts)
    if not _may_cut(session) or largest < 2:
        raise error
    state.cut *= 2
    session.optimizer.zero_grad(set_to_none=True)
    session.plan.weighting.forget(session.weighting)
    if session.task_gradients is not None:
        session.task_gradients.forget()
    gc.collect()  # tensors of the failed step may hang on reference cycles
    torch.cuda.empty_cache()
    pieces = session.plan.manifest.train.accumulate * state.cut
    session.run.log_event("split", step=state.step + 1, micro_batches=pieces)
    problem = error.problems[0]
    session.reporter.note(
        f"{problem.place}: {problem.found}; from here on a step has {pieces} of them"
    )


def _may_cut(session: Session) -> bool:
    """Whether a step may be cut; several processes would all have to cut theirs alike."""
    split = session.plan.manifest.train.on_out_of_memory == "split"
    return split and session.ranks.world_size == 1
