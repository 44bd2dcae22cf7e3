"""The loop: pick tasks, take rows, encode, losses, gradients, clip, step; then log, score, save, each where it is due."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from emomtl.errors import EmomtlError, clean
from emomtl.evaluate import evaluate
from emomtl.model.device import OutOfMemory, arithmetic, memory, to_device
from emomtl.model.network import beside, restore_model
from emomtl.model.sharing import count_parameters
from emomtl.run import find_checkpoint, open_own, point, prune, save_checkpoint
from emomtl.run.answers import save_answers
from emomtl.sampling import Moment
from emomtl.scoring import TaskScores
from emomtl.seeds import torch_seed
from emomtl.train.anomalies import check_finite, finite_weights, watch_losses
from emomtl.train.draw import Drawing, Part
from emomtl.train.length import rate_factor
from emomtl.train.memory import cut_further, no_room_to_update, too_large
from emomtl.train.objectives import objective_losses
from emomtl.train.reduction import whole
from emomtl.train.session import Outcome, Session, Validated
from emomtl.train.signals import Interrupted, Signals
from emomtl.weighting import Weighting


@dataclass
class _Step:
    """What one step leaves for the log, still on the device."""

    moment: Moment
    drawing: Drawing
    weights: dict[str, Tensor]
    norm: Tensor
    finite: Tensor
    losses: dict[str, Tensor]
    factor: float


def train(session: Session) -> Outcome:
    """Train a session to its end, or to a reason to stop; the run directory holds every result."""
    run, state, tell = session.run, session.state, session.tell
    began, told = time.monotonic(), False
    try:
        if not state.finished:
            counts, length = count_parameters(session.model), session.length
            other = {"elsewhere": session.elsewhere} if session.elsewhere else {}
            run.log_event("start", step=state.step, total=length.total, epochs=length.epochs, parameters=counts, **other)
            run.log(f"training {run.name}: {', '.join(session.plan.tasks)} from step {state.step}")
            tell("emomtl_started", run=run)
            session.display.phase("training")
            with Signals() as signals, session.phases("other"):
                _steps(session, signals)
        with session.phases("evaluation"):
            outcome = _outcome(session)
        run.log(
            f"{outcome.reason} after {outcome.steps} steps; {time.monotonic() - began:.1f} s since the start or the last resume"
        )
        told = True
        tell("emomtl_finished", run=run, error=None)
        return outcome
    except BaseException as stopped:
        error = str(stopped) or type(stopped).__name__
        with suppress(EmomtlError):  # a full disk or a listener must not hide why the run stopped
            run.log(f"stopped at step {state.step}: {error}")
            if not told:
                tell("emomtl_finished", run=run, error=error)
        raise
    finally:
        with suppress(EmomtlError):
            for heard in session.plan.plugins.heard:
                run.log(f"listener {heard}")
        run.close()


def _steps(session: Session, signals: Signals) -> None:
    """All steps of the run; what is due after a step happens at its boundary."""
    state, length, plan = session.state, session.length, session.plan.manifest
    session.model.train()
    if session.reduction is not None:
        session.reduction.signals = signals
    while not state.finished:
        before = length.progress(state)
        done = _step(session)
        _remember(session, done)
        session.phases.saw(done.drawing)
        after = length.progress(state)
        session.display.stepped(state, after, sum(done.drawing.examples.values()))
        last = after >= 1.0
        new_epoch = length.epoch(after) > length.epoch(before)
        log_due = last or state.step % plan.train.log_every == 0
        score_due = last or (state.step % plan.eval.every == 0 if plan.eval.every else new_epoch)
        save_due = score_due or (plan.checkpoint.every is not None and state.step % plan.checkpoint.every == 0)
        check_finite(session, bool(done.finite), done.losses, done.weights, done.drawing)
        if log_due:
            with session.phases("logging"):
                _log(session, done)
        with session.phases("evaluation"):
            improved = _score(session) if score_due else False
        state.finished = last or state.stopped is not None
        if state.finished:
            session.run.log_event("finish", step=state.step, reason=state.stopped or "finished", skipped=state.skipped)
        asked = signals.received if session.reduction is None else session.reduction.asked
        if save_due or asked is not None:
            with session.phases("checkpoint"):
                _save(session, improved)
        if asked is not None:
            session.ranks.wait()
            raise Interrupted(asked, state.step)


def _step(session: Session) -> _Step:
    """One optimiser step. Random numbers depend on the seed and the step alone; the update is masked where it is not finite."""
    moment = _moment(session)
    session.model.sharing.at(moment)
    factor = rate_factor(moment.progress, session.plan.manifest.train.warmup, session.plan.manifest.train.schedule)
    for group in session.optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    drawing, losses, weights = _drawn(session, moment)
    with session.phases("optimiser"):
        gradients = (p.grad for group in session.optimizer.param_groups for p in group["params"] if p.grad is not None)
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = torch.isfinite(norm) & torch.stack([torch.isfinite(loss) for loss in losses.values()]).all()
        with memory(lambda: no_room_to_update(session)):
            _update(session.optimizer, norm, session.plan.manifest.train.clip, finite)
        session.optimizer.zero_grad(set_to_none=True)
    if session.plan.weighting.looks_again:
        session.plan.weighting.look(session.weighting, losses, _look(session, drawing, moment), moment)
    return _Step(moment, drawing, weights, norm, finite, losses, factor)


def _drawn(session: Session, moment: Moment) -> tuple[Drawing, dict[str, Tensor], dict[str, Tensor]]:
    """The step's draw with its losses and weights; the gradients are in `.grad`. Where they do not fit, it may be cut further."""
    while True:
        with session.phases("draw"):
            drawing = session.feeder.draw(session.plan.sampler, moment, session.state)
        try:
            return drawing, *_gradients(session, drawing, moment)
        except OutOfMemory as error:
            cut_further(session, drawing, error)


def _gradients(session: Session, drawing: Drawing, moment: Moment) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses and weights by task; the micro-batches add up in `.grad`."""
    weighting, texts = session.plan.weighting, drawing.texts
    losses: dict[str, Tensor] = {}
    weights: dict[str, Tensor] = {}
    ahead = _look(session, drawing, moment) if weighting.looks_ahead and len(drawing.micro) > 1 else {}
    torch.manual_seed(torch_seed(moment.seed, "step", moment.step, *session.ranks.key))
    for share, parts in zip(drawing.shares, drawing.micro, strict=True):
        with memory(partial(too_large, session, parts)):
            with session.phases("forward"):
                micro, extra = _losses(session, parts, share, texts)
            with session.phases("backward"), _reducing(session, parts is drawing.micro[-1]):
                here = {task: part.number(task) / texts[task] for part in parts for task in part.targets}
                now = replace(moment, share=share, parts=here, ahead=ahead)
                weights.update(weighting.backward(session.weighting, micro, now))
        _add(losses, micro | extra, share)
    with session.phases("backward"):
        losses = _reduced(session, losses)
        torch.manual_seed(torch_seed(moment.seed, "weighting", moment.step))
        weights.update(weighting.finish(session.weighting, moment) or {})
    return losses, weights


def _reducing(session: Session, last: bool) -> AbstractContextManager[None]:
    """Around a backward pass: within the step's last one, gradients leave for the other processes as soon as they are whole."""
    if session.reduction is None or not last:
        return nullcontext()
    return session.reduction.last_pass(plain=type(session.plan.weighting).backward is Weighting.backward)


def _reduced(session: Session, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """The losses of the step as all processes know them, once the gradients are averaged over them."""
    if session.reduction is None:
        return losses
    parameters = [p for group in session.optimizer.param_groups for p in group["params"]]
    return session.reduction.finish(parameters, session.plan.weighting.kept_gradients(session.weighting), losses)


def _update(optimizer: torch.optim.AdamW, norm: Tensor, limit: float, finite: Tensor) -> None:
    """Clip and step in one pass over the gradients: the fused optimiser divides them as it reads, and is masked by a flag."""
    # torch reads both attributes with getattr, as a GradScaler would set them; its own types do not name them
    optimizer.grad_scale = ((norm + 1e-6) / limit).clamp(min=1.0) if limit else None  # type: ignore[attr-defined]
    optimizer.found_inf = (~finite).float().reshape(())  # type: ignore[attr-defined]
    optimizer.step()


def _losses(
    session: Session, parts: list[Part], share: float, texts: Mapping[str, int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The loss of each task on one micro-batch: each corpus is encoded once, each head answers for its task's rows.

    With them the losses of the objectives, as `task/objective` and for the log alone: they are in their task's loss already.

    A task may have a smaller part of its step's `texts` here than the micro-batch's `share`; its loss is scaled by the
    quotient, so that the step's loss is the mean over its texts however they are cut. Where several processes train
    together, each answers for its part of the texts, and the losses are those of all of them, in every process.
    """
    losses, extra = {}, {}
    tables, ranks = session.plan.manifest.tasks, session.ranks
    for part in parts:
        inputs, wanted = to_device(part.inputs, session.device), to_device(part.targets, session.device)
        number = {task: part.number(task) for task in wanted}
        with arithmetic(session.device, session.precision):
            if part.tokens:
                pooled: dict[str, Tensor] = {}
                logits = {task: session.model.token_figures(task, inputs, targets) for task, targets in wanted.items()}
            else:
                pooled = session.model.pooled(inputs, {task: ranks.part(n) for task, n in number.items()})
                logits = {task: session.model.logits(task, beside(read, part.features)) for task, read in pooled.items()}
        if ranks.size > 1:
            pooled, logits, wanted = whole(session, part, pooled, logits, wanted)
        own = objective_losses(session, pooled, logits, wanted)
        for task, targets in wanted.items():
            part_of_step = number[task] / texts[task] / share
            loss = session.plan.tasks[task].head.loss(logits[task], targets)
            for name, one in own.get(task, {}).items():
                loss = loss + session.plan.objectives[name].weight * one
                extra[f"{task}/{name}"] = one * part_of_step
            losses[task] = loss * (tables[task].weight * part_of_step)
    return losses, extra


def _look(session: Session, drawing: Drawing, moment: Moment) -> dict[str, Tensor]:
    """The losses of the step on the weights as they are, under the step's dropout and without gradients."""
    losses: dict[str, Tensor] = {}
    torch.manual_seed(torch_seed(moment.seed, "step", moment.step, *session.ranks.key))
    with torch.no_grad(), session.phases("forward"):
        for share, parts in zip(drawing.shares, drawing.micro, strict=True):
            with memory(partial(too_large, session, parts)):
                micro, _ = _losses(session, parts, share, drawing.texts)
            _add(losses, micro, share)
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
        epoch=session.length.epoch(progress),
        epochs=session.length.whole_epochs,
        sizes=session.data.sizes,
        counts=state.counts,
        losses={task: loss for task, loss in state.losses.items() if task in state.counts},
        scores=state.scores,
        evaluation=state.evaluation,
        joint=session.plan.manifest.sampler.per_step == "all",
        seed=session.plan.manifest.seed,
    )


def _remember(session: Session, done: _Step) -> None:
    """Move the counters on; the losses of a step that is skipped are in no mean."""
    state = session.state
    state.step += 1
    for task, n in done.drawing.examples.items():
        state.counts[task] += n
        state.updates[task] += 1 if n else 0
    for stream, n in done.drawing.advance.items():
        state.positions[stream] = state.positions.get(stream, 0) + n
    for task, loss in done.losses.items() if bool(done.finite) else ():
        if not done.drawing.examples.get(task, 1):  # no row of the step had a target: its loss is no loss, and not 0
            continue
        total, number = state.window.get(task, (0.0, 0))
        session.window[task] = session.window.get(task, torch.zeros_like(loss)) + loss
        state.window[task] = (total, number + 1)


def _log(session: Session, done: _Step) -> None:
    """Write the mean losses since the last log, with what the sampler and the weighting did."""
    state = session.state
    state.losses |= {task: float(session.window[task]) / number for task, (_, number) in state.window.items()}
    session.run.log_event(
        "step",
        step=state.step,
        progress=session.length.progress(state),
        rate=done.factor,
        losses={task: state.losses[task] for task in state.window},
        weights=finite_weights(session, done.weights),
        probabilities=done.drawing.probabilities,
        counts=state.counts,
        updates=state.updates,
        grad_norm=float(done.norm) if bool(torch.isfinite(done.norm)) else None,
    )
    losses = {task: state.losses[task] for task in state.window}
    watch_losses(session, losses)
    state.window, session.window = {}, {}
    session.display.logged(state, done.factor)
    session.tell("emomtl_stepped", run=session.run, step=state.step, losses=losses)


def _score(session: Session) -> bool:
    """Score validation, note whether it is the best so far, and ask everyone for a reason to stop."""
    state, manifest, tell = session.state, session.plan.manifest, session.tell
    session.scored = _validate(session, state.step)
    found = session.scored.scores
    state.scores = {task: scores.defined for task, scores in found.items()}
    state.evaluation += 1
    assert manifest.eval.select is not None
    task, _, metric = manifest.eval.select.partition("/")
    value = state.scores[task].get(metric)
    if value is None:
        reason = "; ".join(found[task].undefined)
        session.warn(
            "selection", f"{manifest.eval.select}, which chooses the best checkpoint, is undefined on validation: {reason}"
        )
    less = session.plan.tasks[task].head.less_is_better(metric)
    better = value is not None and (state.best_value is None or _better(less, value, state.best_value))
    if better:
        state.best_value, state.best_step, state.stale = value, state.step, 0
    else:
        state.stale += 1
    answers = tell("emomtl_should_stop", run=session.run, scores=state.scores)
    reasons = session.ranks.told([clean(str(reason), 400) for reason in answers if reason])
    if manifest.eval.patience and state.stale >= manifest.eval.patience:
        reasons.append(f"{manifest.eval.select} has not improved in {state.stale} evaluations")
    metrics = {task: scores.metrics for task, scores in found.items()}
    session.run.log_event("evaluation", step=state.step, scores=metrics, selected=value, best=better, reasons=reasons)
    session.display.evaluated(state, state.scores, better)
    tell("emomtl_evaluated", run=session.run, step=state.step, scores=state.scores)
    if reasons:
        state.stopped = "; ".join(reasons)
    return better


def _better(less: bool, value: float, best: float) -> bool:
    """Higher is better, except for errors, of which `less` is."""
    return value < best if less else value > best


def _save(session: Session, best: bool) -> None:
    """Write a checkpoint, move `last` (and `best`) to it, remove those that neither points to; one process does it for all."""
    state, run = session.state, session.run
    state.window = {task: (float(session.window[task]), number) for task, (_, number) in state.window.items()}
    if not session.ranks.first:
        return
    path = save_checkpoint(run, state.step, session.parts(), _record(session))
    if best or state.best_step is None:
        point(run, "best", path)
    point(run, "last", path)
    keep = {path} | ({run.checkpoints / f"step-{state.best_step:08d}"} if state.best_step is not None else set())
    prune(run, keep)
    session.tell("emomtl_checkpointed", run=run, path=path)


def _record(session: Session) -> dict[str, Any]:
    """The JSON of a checkpoint: the state, how far the events go, the labels that the heads answer with, and the processes."""
    labels = {name: list(bound.head.outputs(session.data.taxonomies[name])) for name, bound in session.plan.tasks.items()}
    state, events = session.state.as_json(), session.run.events_size()
    return {"run": state, "events": events, "labels": labels, "processes": session.ranks.size}


def _outcome(session: Session) -> Outcome:
    """Keep the validation scores of the last and the best checkpoint, unless an earlier start of the run has done so.

    With the scores of the best one its answers are kept (targets and probabilities, no texts).
    """
    state, run, ranks = session.state, session.run, session.ranks
    reason = state.stopped or "finished"
    session.display.phase("scoring")
    kept = {entry["which"] for entry in run.scores() if entry.get("by") == "train"}
    found: dict[str, Mapping[str, TaskScores]] = {}
    for which in ("last", "best"):
        path = run.checkpoints / ranks.told(find_checkpoint(run, which).resolve().name if ranks.first else "")
        step = int(path.name.split("-")[1])
        if session.scored is None or session.scored.step != step:
            restore_model(session.model, open_own(run, path))
            session.scored = _validate(session, step)
        found[which] = session.scored.scores
        if which not in kept and ranks.first:
            entry = {"split": "validation", "which": which, "checkpoint": path.name, "step": step, "by": "train"}
            if which == "best":
                entry["answers"] = save_answers(run, "validation", path.name, session.scored.answers)
            run.add_scores(entry | {"tasks": {task: scores.as_json() for task, scores in found[which].items()}})
    return Outcome(reason, state.step, found)


def _validate(session: Session, step: int) -> Validated:
    """All tasks on validation with the weights as they are, which are those of `step`."""
    batch_size = session.plan.manifest.eval.batch_size
    of = (session.model, session.plan.tasks, session.data, session.tokens)
    answers: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    scores = evaluate(*of, "validation", session.device, session.precision, batch_size, keep=answers, ranks=session.ranks)
    return Validated(step, scores, answers)


def losses_of(session: Session, parts: list[Part]) -> dict[str, Tensor]:
    """The loss of each task on some texts as a step computes it, with its graph; nothing is drawn, counted or updated."""
    return _losses(session, parts, 1.0, {task: len(targets) for part in parts for task, targets in part.targets.items()})[0]


def try_step(session: Session) -> dict[str, float]:
    """Take one step and give its losses; nothing is logged, scored or saved."""
    done = _step(session)
    _remember(session, done)
    session.phases.saw(done.drawing)
    return {task: float(loss) for task, loss in done.losses.items()}
