"""One step: draw, encode, losses, gradients, clip, update; what it leaves for the log stays on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from emomtl.contracts.sampler import Moment
from emomtl.model.device import Later, OutOfMemory, arithmetic, memory, to_device
from emomtl.model.network import beside, shared_parameters
from emomtl.seeds import torch_seed
from emomtl.train.anomalies import not_finite
from emomtl.train.by_task import encoder_norms
from emomtl.train.draw import Drawing, Part, Totals
from emomtl.train.length import rate_factor
from emomtl.train.memory import cut_further, no_room_to_update, too_large
from emomtl.train.objectives import objective_losses, second_logits
from emomtl.train.reduction import gather
from emomtl.train.session import Session
from emomtl.train.step_record import Step

RAW = ":raw"
"""Behind a task's name in the window of losses: its head's mean loss, before it was scaled and weighted."""


def take_step(session: Session) -> Step:
    """One optimiser step. Random numbers depend on the seed and the step alone; the update is masked where it is not finite."""
    moment = _moment(session)
    session.model.changes.at(moment)
    factor = rate_factor(moment.progress, session.plan.manifest.train.warmup, session.plan.manifest.train.schedule)
    for group in session.optimizer.param_groups:
        group["lr"] = group["peak"] * (1.0 if group["constant"] else factor)
    drawing, found = _drawn(session, moment)
    losses = found.losses
    if not losses:
        return _idle(session, drawing, moment, factor)
    with session.phases("optimiser"):
        gradients, learned = _made(session.optimizer)
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = torch.stack([torch.isfinite(value) for value in [norm, *losses.values(), *learned]]).all()
        later = Later(finite)
        with memory(lambda: no_room_to_update(session)):
            train = session.plan.manifest.train
            limit = train.clip if session.by_task is None else 0.0
            _update(session.optimizer, learned, norm, limit, finite)
            if session.average is not None:
                session.average.update(finite)
        session.optimizer.zero_grad(set_to_none=True)
    if session.plan.weighting.looks_again:
        session.plan.weighting.look(session.weighting, losses, _look(session, drawing, moment), moment)
    return Step(moment, drawing, found.weights, norm, later, losses, factor, found.raw, found.norms)


def _made(optimizer: torch.optim.AdamW) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients of the step: those of the model, whose norm is clipped, and those of what the weighting learns."""
    model: list[Tensor] = []
    learned: list[Tensor] = []
    for group in optimizer.param_groups:
        made = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
        (learned if group["constant"] else model).extend(made)
    return model, learned


def _idle(session: Session, drawing: Drawing, moment: Moment, factor: float) -> Step:
    """A step in which no row has a known target: there is no loss, so nothing is updated, and the run hears of it once."""
    tasks = ", ".join(drawing.examples)
    line = f"no row of step {moment.step + 1} ({tasks}) has a label, so it changes nothing; nor will others like it"
    session.warn_once("steps without a label", line)
    return Step(moment, drawing, {}, torch.zeros(()), Later(torch.tensor(True)), {}, factor)


@dataclass
class Losses:
    """What a step, or a micro-batch of it, costs, by task; gradients of a whole step are in `.grad`.

    `losses` are scaled and times the tasks' weights, and have a graph in a micro-batch. `logged` are the
    losses of objectives, as `task/objective`, which are in their task's already. `raw` are the heads' mean
    losses. `weights` are those of the weighting, `norms` those of the tasks' gradients on the encoder.
    """

    losses: dict[str, Tensor] = field(default_factory=dict)
    logged: dict[str, Tensor] = field(default_factory=dict)
    raw: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    norms: dict[str, Tensor] = field(default_factory=dict)

    def add(self, micro: Losses, share: float) -> None:
        """Add a micro-batch, which has this share of the step."""
        _add(self.losses, micro.losses | micro.logged, share)
        _add(self.raw, micro.raw, share)


def _drawn(session: Session, moment: Moment) -> tuple[Drawing, Losses]:
    """The step's draw with its losses and weights; the gradients are in `.grad`. Where they do not fit, it may be cut further."""
    while True:
        with session.phases("draw"):
            drawing = session.feeder.draw(session.plan.sampler, moment, session.state)
        try:
            return drawing, _gradients(session, drawing, moment)
        except OutOfMemory as error:
            cut_further(session, drawing, error)


def _gradients(session: Session, drawing: Drawing, moment: Moment) -> Losses:
    """Losses and weights by task; the micro-batches add up in `.grad`. A step without any known target has none of all."""
    found = Losses()
    if not drawing.micro:
        return found
    weighting, totals = session.plan.weighting, drawing.totals
    ahead = _look(session, drawing, moment) if weighting.looks_ahead and len(drawing.micro) > 1 else {}
    torch.manual_seed(torch_seed(moment.seed, "step", moment.step, *session.ranks.key))
    for share, parts in zip(drawing.shares, drawing.micro, strict=True):
        with memory(partial(too_large, session, parts)):
            with session.phases("forward"):
                micro = _losses(session, parts, share, totals)
            with session.phases("backward"), _reducing(session, parts is drawing.micro[-1]):
                if parts is drawing.micro[0] and _measured(session):
                    found.norms = encoder_norms(micro.losses, shared_parameters(session.model))
                trained = {task: part for part in parts for task in part.targets if task in micro.losses}
                here = {task: part.known[task] / totals.known[task] for task, part in trained.items()}
                now = replace(moment, share=share, parts=here, ahead=ahead)
                found.weights |= _backward(session, micro.losses, now)
        found.add(micro, share)
    with session.phases("backward"):
        if session.by_task is not None:
            session.by_task.finish()
        found.losses = _reduced(session, found.losses)
        torch.manual_seed(torch_seed(moment.seed, "weighting", moment.step))
        found.weights |= weighting.finish(session.weighting, moment) or {}
    return found


def _backward(session: Session, losses: Mapping[str, Tensor], moment: Moment) -> Mapping[str, Tensor]:
    """The backward pass of one micro-batch; the weights of its losses."""
    weighting = session.plan.weighting
    if session.by_task is not None:
        return session.by_task.backward(weighting, session.weighting, losses, moment)
    return weighting.backward(session.weighting, losses, moment)


def _measured(session: Session) -> bool:
    """Whether the tasks' gradients are measured in the next step: where it is logged, and this process sees them whole."""
    due = (session.state.step + 1) % session.plan.manifest.train.log_every == 0
    return due and session.ranks.world_size == 1


def _reducing(session: Session, last: bool) -> AbstractContextManager[None]:
    """Around a backward pass: within the step's last one, gradients leave for the other processes as soon as they are whole."""
    if session.reduction is None or not last:
        return nullcontext()
    return session.reduction.last_pass(plain=session.plan.weighting.sums_losses)


def _reduced(session: Session, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """The losses of the step as all processes know them, once the gradients are averaged over them."""
    if session.reduction is None:
        return losses
    parameters = [p for group in session.optimizer.param_groups for p in group["params"]]
    return session.reduction.finish(parameters, session.plan.weighting.kept_gradients(session.weighting), losses)


def _update(optimizer: torch.optim.AdamW, learned: list[Tensor], norm: Tensor, limit: float, finite: Tensor) -> None:
    """Clip and step in one pass over the gradients.

    The fused optimiser divides every gradient by `grad_scale` as it reads it, and is masked by a flag.
    """
    scale = ((norm + 1e-6) / limit).clamp(min=1.0) if limit else None
    if scale is not None and learned:
        # what a weighting learns is not clipped: this undoes the division
        torch._foreach_mul_(learned, scale)
    # torch reads both attributes with getattr, as a GradScaler would set them; its own types do not name them
    optimizer.grad_scale = scale  # type: ignore[attr-defined]  # see above
    optimizer.found_inf = (~finite).float().reshape(())  # type: ignore[attr-defined]
    optimizer.step()


def _losses(session: Session, parts: list[Part], share: float, totals: Totals) -> Losses:
    """The loss of each task on one micro-batch: each corpus is encoded once, each head answers for its task's rows.

    L_t = lambda_t f_t (l_t + sum_o w_o L_o): the head's mean loss l_t with its objectives, on the run's
    scale (f_t, see `emomtl.train.scale`), times the task's `weight`. So an objective weighs as much beside its
    task's loss on every scale.

    Over the micro-batches of a step, each times its `share`, the losses sum to those of the whole step
    however it is cut: a head's loss is the mean over known targets, and is scaled by the part of the
    step's that are here; an objective's, which is one over texts, by the part of the task's texts.
    A task without a known target in the whole step has no loss, and neither have its objectives: 0
    would be a loss, and the best that there is. Where several processes train together, each answers
    for its part of the texts, and the losses are those of all of them, in every process.
    """
    found = Losses()
    tables, ranks = session.plan.manifest.tasks, session.ranks
    progress = session.length.progress(session.state)
    for part, output in zip(parts, _encoded(session, parts), strict=True):
        inputs, wanted = to_device(part.inputs, session.device), to_device(part.targets, session.device)
        number = {task: part.number(task) for task in wanted}
        with arithmetic(session.device, session.precision):
            if part.tokens:
                pooled: dict[str, Tensor] = {}
                logits = {task: session.model.token_outputs(task, inputs, targets, output) for task, targets in wanted.items()}
            else:
                pooled = session.model.pooled(inputs, {task: ranks.local_count(n) for task, n in number.items()}, output)
                logits = {task: session.model.logits(task, beside(read, part.features)) for task, read in pooled.items()}
            again = second_logits(session, part, inputs)
        if ranks.world_size > 1:
            asked = {objective.task for objective in session.plan.objectives.values()}
            pooled, logits, wanted = gather(ranks, asked, part, pooled, logits, wanted)
            again = {task: ranks.all_gather(one.float(), number[task]) for task, one in again.items()}
        own = objective_losses(session, pooled, logits, wanted, again)
        for task, targets in wanted.items():
            if not totals.known[task]:
                continue
            of_texts, of_targets = number[task] / totals.texts[task], part.known[task] / totals.known[task]
            part_of_step = of_texts / share
            answers, labels = logits[task], targets
            if task in again:  # the mean over both passes: every target counts twice
                answers, labels = torch.cat([answers, again[task]]), torch.cat([targets, targets])
            loss = session.plan.tasks[task].head.loss(answers, labels) * (of_targets / of_texts)
            found.raw[task] = loss.detach() * part_of_step
            for name, one in own.get(task, {}).items():
                loss = loss + session.plan.objectives[name].weight * one
                found.logged[f"{task}/{name}"] = one * part_of_step
            factor = session.scales[task].factor(totals.targets(task))
            found.losses[task] = loss * (tables[task].weight_at(progress) * factor * part_of_step)
    return found


def _encoded(session: Session, parts: list[Part]) -> Sequence[Any]:
    """What the encoder gives for each part, in one pass over the tokens of all; None for each where it is yet to be asked."""
    if session.unpadded is None or not any(part.inputs["input_ids"].size for part in parts):
        return [None] * len(parts)
    with arithmetic(session.device, session.precision):
        return session.unpadded.outputs([part.inputs for part in parts], session.model.layers.asked)


def _look(session: Session, drawing: Drawing, moment: Moment) -> dict[str, Tensor]:
    """The losses of the step on the weights as they are, under the step's dropout and without gradients."""
    losses: dict[str, Tensor] = {}
    torch.manual_seed(torch_seed(moment.seed, "step", moment.step, *session.ranks.key))
    with torch.no_grad(), session.phases("forward"):
        for share, parts in zip(drawing.shares, drawing.micro, strict=True):
            with memory(partial(too_large, session, parts)):
                micro = _losses(session, parts, share, drawing.totals)
            _add(losses, micro.losses, share)
    return losses


def _add(losses: dict[str, Tensor], micro: Mapping[str, Tensor], share: float) -> None:
    """Add the losses of a micro-batch to those of the step."""
    for task, loss in micro.items():
        losses[task] = losses.get(task, torch.zeros_like(loss)) + loss.detach() * share


def _moment(session: Session) -> Moment:
    """Where the run stands before the next step."""
    state, progress = session.state, session.length.progress(session.state)
    return Moment(
        step=state.step,
        progress=progress,
        epoch=session.length.passed(progress),
        epochs=session.length.passes,
        sizes=session.data.sizes,
        counts=state.counts,
        losses={task: loss for task, loss in state.losses.items() if task in state.counts},
        scores=state.scores,
        evaluation=state.evaluation,
        joint=session.plan.manifest.sampler.per_step == "all",
        seed=session.plan.manifest.seed,
    )


def remember(session: Session, done: Step) -> None:
    """Move the counters on."""
    state = session.state
    state.step += 1
    for task, n in done.drawing.examples.items():
        state.counts[task] += n
        state.updates[task] += 1 if n else 0
    for stream, n in done.drawing.advance.items():
        state.positions[stream] = state.positions.get(stream, 0) + n
    session.unsettled.append(done)


def settle(session: Session, lag: int = 0) -> None:
    """Look whether steps were finite, all but the last `lag` of them, and put their losses into the window.

    Where a step was not, it is counted, or the run stops; its losses are in no mean. On CUDA the host looks a step late, so that
    the device has work while it does.
    """
    while len(session.unsettled) > lag:
        done = session.unsettled.popleft()
        if not done.finite:
            not_finite(session, done)
            continue
        raw = {task + RAW: loss for task, loss in done.raw.items()}
        for task, loss in (done.losses | raw).items():
            total, number = session.state.window.get(task, (0.0, 0))
            session.window[task] = session.window.get(task, torch.zeros_like(loss)) + loss
            session.state.window[task] = (total, number + 1)


def losses_of(session: Session, parts: list[Part]) -> dict[str, Tensor]:
    """The loss of each task on some texts as a step computes it, with its graph; nothing is drawn, counted or updated."""
    return _losses(session, parts, 1.0, Totals.of(parts)).losses


def try_step(session: Session) -> dict[str, float]:
    """Take one step and give its losses; nothing is logged, scored or saved."""
    done = take_step(session)
    remember(session, done)
    settle(session)
    session.phases.saw(done.drawing)
    return {task: float(loss) for task, loss in done.losses.items()}
