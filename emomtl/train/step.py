"""One optimiser step: draw rows, compute losses and gradients, clip, update.

Nothing here waits for a CUDA device: what a step leaves for the log stays there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from emomtl.contracts.sampler import Moment
from emomtl.model.device import Later, OutOfMemory, memory
from emomtl.model.network import shared_parameters
from emomtl.seeds import torch_seed
from emomtl.train.anomalies import not_finite
from emomtl.train.draw import Drawing, Part, Totals
from emomtl.train.gradients import encoder_norms
from emomtl.train.length import rate_factor
from emomtl.train.losses import Losses
from emomtl.train.memory import cut_further, no_room_to_update, too_large
from emomtl.train.session import Session, Step

RAW = ":raw"
"""Behind a task's name in the loss window: its head's mean loss, neither scaled nor weighted."""


def take_step(session: Session) -> Step:
    """Take one optimiser step; the update is masked where a loss or gradient is not finite.

    Random numbers depend on the seed and the step alone, so a resumed run draws the same.
    """
    method = session.plan.weighting
    moment = moment_of(session)
    session.model.changes.at(moment)
    rate = set_rates(session, moment.progress)
    drawing, losses = draw_gradients(session, moment)
    if not losses.losses:
        return _skip_step(session, drawing, moment, rate)
    with session.phases("optimiser"):
        norm, finite = _update(session, losses.losses)
    if method.looks_again:
        after = _losses_now(session, drawing, moment)
        method.look(session.weighting, losses.losses, after, moment)
    return Step(
        moment=moment,
        drawing=drawing,
        rate=rate,
        norm=norm,
        finite=finite,
        losses=losses.losses,
        raw=losses.raw,
        weights=losses.weights,
        encoder_norms=losses.encoder_norms,
    )


def moment_of(session: Session) -> Moment:
    """Where the run stands before the next step, as samplers and weightings see it."""
    state, progress = session.state, session.length.progress(session.state)
    return Moment(
        step=state.step,
        progress=progress,
        epoch=session.length.passed(progress),
        epochs=session.length.passes,
        sizes=session.data.sizes,
        counts=state.counts,
        # Without the losses of objectives, which are logged as task/objective.
        losses={task: loss for task, loss in state.losses.items() if task in state.counts},
        scores=state.scores,
        evaluation=state.evaluation,
        joint=session.plan.manifest.sampler.per_step == "all",
        seed=session.plan.manifest.seed,
    )


def set_rates(session: Session, progress: float) -> float:
    """Set the learning rate of every parameter group; returns it as a part of its peak."""
    train = session.plan.manifest.train
    rate = rate_factor(progress, train.warmup, train.schedule)
    for group in session.optimizer.param_groups:
        # What a weighting learns has neither warm-up nor decay.
        group["lr"] = group["peak"] * (1.0 if group["constant"] else rate)
    return rate


def _skip_step(session: Session, drawing: Drawing, moment: Moment, rate: float) -> Step:
    """A step in which no row has a known target: there is no loss, so nothing is updated."""
    tasks = ", ".join(drawing.examples)
    line = f"no row of step {moment.step + 1} ({tasks}) has a label, so it changes nothing"
    session.reporter.warn_once("steps without a label", f"{line}; nor will others like it")
    return Step(moment, drawing, rate, norm=torch.zeros(()), finite=Later(torch.tensor(True)))


def draw_gradients(session: Session, moment: Moment) -> tuple[Drawing, Losses]:
    """Draw the step's rows and compute their losses; the gradients are in `.grad`.

    Where a micro-batch does not fit into memory, the step may begin anew with smaller ones.
    """
    while True:
        with session.phases("draw"):
            drawing = session.feeder.draw(session.plan.sampler, moment, session.state)
        try:
            return drawing, compute_gradients(session, drawing, moment)
        except OutOfMemory as error:
            cut_further(session, drawing, error)


def compute_gradients(session: Session, drawing: Drawing, moment: Moment) -> Losses:
    """The losses of a step; the gradients of its micro-batches add up in `.grad`.

    No loss at all where the step has no known target.
    """
    step = Losses()
    if not drawing.micro:
        return step
    method, totals = session.plan.weighting, drawing.totals
    ahead: dict[str, Tensor] = {}
    if method.looks_ahead and len(drawing.micro) > 1:
        ahead = _losses_now(session, drawing, moment)
    _seed_dropout(session, moment)
    for share, parts in zip(drawing.shares, drawing.micro, strict=True):
        first, last = parts is drawing.micro[0], parts is drawing.micro[-1]
        with memory(partial(too_large, session, parts)):
            with session.phases("forward"):
                micro = session.losses.of(parts, share, totals, moment)
            with session.phases("backward"):
                if first and _norms_due(session):
                    step.encoder_norms = encoder_norms(
                        micro.losses, shared_parameters(session.model)
                    )
                shares_by_task = _target_shares(parts, totals, micro.losses)
                of_micro = replace(moment, share=share, parts=shares_by_task, ahead=ahead)
                step.weights |= _backward(session, micro.losses, of_micro, last)
        step.add(micro, share)
    with session.phases("backward"):
        if session.task_gradients is not None:
            session.task_gradients.finish()
        # Average over processes first: a weighting's `finish` mixes the gradients of all texts.
        step.losses = _reduced(session, step.losses)
        torch.manual_seed(torch_seed(moment.seed, "weighting", moment.step))
        step.weights |= method.finish(session.weighting, moment) or {}
    return step


def _seed_dropout(session: Session, moment: Moment) -> None:
    torch.manual_seed(torch_seed(moment.seed, "step", moment.step, *session.ranks.key))


def _norms_due(session: Session) -> bool:
    """Whether the tasks' gradients are measured in the next step.

    In steps that are logged, and where one process sees the whole gradients.
    """
    due = (session.state.step + 1) % session.plan.manifest.train.log_every == 0
    return due and session.ranks.world_size == 1


def _target_shares(
    parts: list[Part], totals: Totals, losses: Mapping[str, Tensor]
) -> dict[str, float]:
    """The micro-batch's part of the known targets of each task that has a loss in it."""
    known = {task: part.known[task] for part in parts for task in part.targets if task in losses}
    return {task: targets / totals.known[task] for task, targets in known.items()}


def _backward(
    session: Session, losses: Mapping[str, Tensor], moment: Moment, last: bool
) -> Mapping[str, Tensor]:
    """The backward pass of one micro-batch; returns the weights of its losses."""
    method = session.plan.weighting
    if session.task_gradients is not None:
        return session.task_gradients.backward(method, session.weighting, losses, moment)
    # Within the last pass of a step, whole gradients leave for the other processes at once.
    sending: AbstractContextManager[None] = nullcontext()
    if session.reduction is not None and last:
        sending = session.reduction.last_pass(plain=method.sums_losses)
    with sending:
        return method.backward(session.weighting, losses, moment)


def _reduced(session: Session, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Average gradients over all processes; the losses of the step as all of them know them."""
    if session.reduction is None:
        return losses
    groups = session.optimizer.param_groups
    parameters = [parameter for group in groups for parameter in group["params"]]
    kept_gradients = session.plan.weighting.kept_gradients(session.weighting)
    return session.reduction.finish(parameters, kept_gradients, losses)


def _update(session: Session, losses: Mapping[str, Tensor]) -> tuple[Tensor, Later]:
    """Clip and update; returns the gradient's norm before clipping, and whether all was finite."""
    optimizer, train = session.optimizer, session.plan.manifest.train
    gradients, weighting_gradients = _gradients_of(optimizer)
    norm = torch.nn.utils.get_total_norm(gradients)
    values = [norm, *losses.values(), *weighting_gradients]
    finite = torch.stack([torch.isfinite(value) for value in values]).all()
    # Read the flag from here on, while the device computes the update.
    finite_later = Later(finite)
    with memory(lambda: no_room_to_update(session)):
        limit = train.clip if session.task_gradients is None else 0.0
        _clip_and_step(optimizer, weighting_gradients, norm, limit, finite)
        if session.average is not None:
            session.average.update(finite)
    optimizer.zero_grad(set_to_none=True)
    return norm, finite_later


def _gradients_of(optimizer: torch.optim.AdamW) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients of the model, and those of what the weighting learns."""
    model: list[Tensor] = []
    weighting: list[Tensor] = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                (weighting if group["constant"] else model).append(parameter.grad)
    return model, weighting


def _clip_and_step(
    optimizer: torch.optim.AdamW,
    weighting_gradients: list[Tensor],
    norm: Tensor,
    limit: float,
    finite: Tensor,
) -> None:
    """Clip the model's gradients to a norm of `limit` (0: do not) and update where `finite`.

    Both happen inside the fused optimiser, in its one pass over the gradients: it divides each by
    `grad_scale`, and leaves everything as it is where `found_inf` is 1.
    """
    scale = None
    if limit:
        # As torch's clip_grad_norm_: g * min(1, limit / (norm + 1e-6)), as a division.
        scale = ((norm + 1e-6) / limit).clamp(min=1.0)
        if weighting_gradients:
            # What a weighting learns is not clipped: this undoes the division.
            torch._foreach_mul_(weighting_gradients, scale)
    # torch reads both attributes with getattr, as a GradScaler sets them; its types lack them.
    optimizer.grad_scale = scale  # type: ignore[attr-defined]
    optimizer.found_inf = (~finite).float().reshape(())  # type: ignore[attr-defined]
    optimizer.step()


def _losses_now(session: Session, drawing: Drawing, moment: Moment) -> dict[str, Tensor]:
    """The losses of a step with the weights as they are, under the step's dropout."""
    step = Losses()
    _seed_dropout(session, moment)
    with torch.no_grad(), session.phases("forward"):
        for share, parts in zip(drawing.shares, drawing.micro, strict=True):
            with memory(partial(too_large, session, parts)):
                micro = session.losses.of(parts, share, drawing.totals, moment)
            micro.objectives.clear()  # they are in their tasks' losses, and only logged
            step.add(micro, share)
    return step.losses


def remember(session: Session, step: Step) -> None:
    """Move the counters on. Whether the step was finite is not known yet."""
    state = session.state
    state.step += 1
    for task, examples in step.drawing.examples.items():
        state.counts[task] += examples
        state.updates[task] += 1 if examples else 0
    for stream, rows in step.drawing.advance.items():
        state.positions[stream] = state.positions.get(stream, 0) + rows
    session.unsettled.append(step)


def settle(session: Session, lag: int = 0) -> None:
    """Put the losses of steps that were finite into the window, of all but the last `lag` steps.

    A step that was not is counted, or stops the run. With a lag of 1 a CUDA device has work while
    the host waits for the flag of the step before.
    """
    while len(session.unsettled) > lag:
        step = session.unsettled.popleft()
        if not step.finite:
            not_finite(session, step)
            continue
        raw = {task + RAW: loss for task, loss in step.raw.items()}
        session.window.add(step.losses | raw)


def losses_of(session: Session, parts: list[Part]) -> dict[str, Tensor]:
    """The loss of each task on some texts as a step computes it, with its graph."""
    return session.losses.of(parts, 1.0, Totals.of(parts), moment_of(session)).losses


def try_step(session: Session) -> dict[str, float]:
    """Take one step and return its losses; nothing is logged, scored or saved."""
    step = take_step(session)
    remember(session, step)
    settle(session)
    session.phases.saw(step.drawing)
    return {task: float(loss) for task, loss in step.losses.items()}
