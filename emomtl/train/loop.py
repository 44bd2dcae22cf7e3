"""The loop: one step after another; then log, score, save, each where it is due."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from emomtl.errors import EmomtlError, clean
from emomtl.metrics.scoring import TaskScores, Tuned
from emomtl.metrics.selection import EMA, MEAN, is_as_good, is_better, selected, selection_in_words
from emomtl.metrics.selection import RAW as RAW_WEIGHTS
from emomtl.model.build import restore_model
from emomtl.model.network import count_parameters
from emomtl.run import find_checkpoint, open_own, point, prune, save_checkpoint
from emomtl.run.answers import save_answers
from emomtl.run.tuned import fit_tasks, keep_tunings
from emomtl.train.anomalies import finite_weights, watch_losses
from emomtl.train.early_stopping import stop_tasks
from emomtl.train.forecast import said_of_tasks
from emomtl.train.outcome import Outcome, Validated
from emomtl.train.session import Session
from emomtl.train.signals import Interrupted, Signals
from emomtl.train.step import RAW, remember, settle, take_step
from emomtl.train.step_record import Step


def train(session: Session) -> Outcome:
    """Train a session to its end, or to a reason to stop; the run directory holds every result."""
    run, state, emit = session.run, session.state, session.emit
    began, is_finished = time.monotonic(), False
    try:
        if not state.finished:
            session.must_train()
            counts, length = count_parameters(session.model), session.length
            other = {"elsewhere": session.elsewhere} if session.elsewhere else {}
            run.log_event("start", step=state.step, total=length.total, epochs=length.epochs, parameters=counts, **other)
            run.log(f"training {run.name}: {', '.join(session.plan.tasks)} from step {state.step}")
            run.log(f"the best checkpoint is chosen on validation by {session.plan.selection_in_words}{_by_weights(session)}")
            for task, scale in session.scales.items():
                run.log(f"{task}: {scale.sentence}")
            for task, lines in said_of_tasks(session.plan).items():
                run.log(f"{task}: {'; '.join(lines)}")
            emit("emomtl_started", run=run)
            session.display.phase("training")
            with Signals() as signals, session.phases("other"):
                _steps(session, signals, began)
        with session.phases("evaluation"):
            outcome = _outcome(session)
        run.log(
            f"{outcome.reason} after {outcome.steps} steps; {time.monotonic() - began:.1f} s since the start or the last resume"
        )
        is_finished = True
        emit("emomtl_finished", run=run, error=None)
        return outcome
    except BaseException as stopped:
        error = str(stopped) or type(stopped).__name__
        with suppress(EmomtlError):  # a full disk or a listener must not hide why the run stopped
            run.log(f"stopped at step {state.step}: {error}")
            run.log_event("stop", step=state.step, error=clean("; ".join(error.splitlines()), 2000))
            if not is_finished:
                emit("emomtl_finished", run=run, error=error)
        raise
    finally:
        with suppress(EmomtlError):
            for listener in session.plan.plugins.events.listener_times:
                run.log(f"listener {listener}")
        run.close()


def _by_weights(session: Session) -> str:
    """With whose weights the best checkpoint is chosen, where there are two."""
    return "" if session.average is None else f", with its {session.plan.manifest.eval.weights} weights"


def _steps(session: Session, signals: Signals, began: float) -> None:
    """All steps of the run; what is due after a step happens at its boundary. `began` is when it started or was resumed."""
    state, length, plan = session.state, session.length, session.plan.manifest
    session.model.train()
    if session.reduction is not None:
        session.reduction.signals = signals
    while not state.finished:
        before = length.progress(state)
        done = take_step(session)
        remember(session, done)
        session.phases.saw(done.drawing)
        after = length.progress(state)
        session.display.stepped(state, after, sum(done.drawing.examples.values()))
        last = after >= 1.0
        new_epoch = length.epoch(after) > length.epoch(before)
        log_due = last or state.step % plan.train.log_every == 0
        score_due = last or (state.step % plan.eval.every == 0 if plan.eval.every else new_epoch)
        save_due = score_due or (plan.checkpoint.every is not None and state.step % plan.checkpoint.every == 0)
        settle(session, 0 if log_due or save_due else session.lag)
        if log_due:
            with session.phases("logging"):
                _log(session, done)
        with session.phases("evaluation"):
            improved = _score(session) if score_due else False
        state.finished = last or state.stopped is not None
        if state.finished:
            reason, seconds = state.stopped or "finished", round(time.monotonic() - began, 1)
            session.run.log_event("finish", step=state.step, reason=reason, skipped=state.skipped, seconds=seconds)
        asked = signals.received if session.reduction is None else session.reduction.asked
        if save_due or asked is not None:
            settle(session)
            with session.phases("checkpoint"):
                _save(session, improved)
        if asked is not None:
            session.ranks.barrier()
            raise Interrupted(asked, state.step)


def _log(session: Session, done: Step) -> None:
    """Write the mean losses since the last log, with what the sampler and the weighting did."""
    state = session.state
    means = {task: float(session.window[task]) / number for task, (_, number) in state.window.items()}
    raw = {task.removesuffix(RAW): mean for task, mean in means.items() if task.endswith(RAW)}
    losses = {task: mean for task, mean in means.items() if not task.endswith(RAW)}
    state.losses |= losses
    # a task's part of the summed gradient: its own norm times what the weighting made of its loss
    norms = {task: float(norm * done.weights.get(task, 1.0)) for task, norm in done.norms.items()}
    session.run.log_event(
        "step",
        step=state.step,
        progress=session.length.progress(state),
        rate=done.factor,
        losses=losses,
        raw_losses=raw,
        weights=finite_weights(session, done.weights),
        probabilities=done.drawing.probabilities,
        counts=state.counts,
        updates=state.updates,
        grad_norm=float(done.norm) if bool(torch.isfinite(done.norm)) else None,
        encoder_grad_norms={task: norm for task, norm in norms.items() if math.isfinite(norm)},
    )
    watch_losses(session, losses)
    state.window, session.window = {}, {}
    session.display.logged(state, done.factor)
    session.emit("emomtl_stepped", run=session.run, step=state.step, losses=losses, raw_losses=raw)


def _score(session: Session) -> bool:
    """Score validation, note whether it is the best so far, and ask everyone for a reason to stop."""
    state, manifest, emit = session.state, session.plan.manifest, session.emit
    session.scored = _validate(session, state.step)
    found = session.scored.scores
    state.scores = {task: scores.defined for task, scores in found.items()}
    state.evaluation += 1
    value, better = _choose(session, found)
    answers = emit("emomtl_should_stop", run=session.run, scores=state.scores)
    reasons = session.ranks.broadcast_object([clean(str(reason), 400) for reason in answers if reason])
    if manifest.eval.patience and state.stale >= manifest.eval.patience:
        chooser = selection_in_words(str(manifest.eval.select))
        reasons.append(f"{chooser} has not improved in {state.stale} evaluations")
    reasons += stop_tasks(session, found)
    metrics = {task: scores.metrics for task, scores in found.items()}
    main = {task: scores.facts.main_metric for task, scores in found.items()}
    both = _of_both_weights(session, session.scored)
    choice = {"selected": value, "best": better, "reasons": reasons}
    session.run.log_event("evaluation", step=state.step, scores=metrics, main_metrics=main, **choice, **both)
    session.display.evaluated(state, found, better)
    if session.average is not None:
        session.display.also_evaluated(state, _other_weights(session), session.scored.others)
    emit("emomtl_evaluated", run=session.run, step=state.step, scores=state.scores)
    if reasons:
        state.stopped = "; ".join(reasons)
    return better


def _of_both_weights(session: Session, scored: Validated) -> dict[str, Any]:
    """For the log, where an average is kept: whose scores choose the best checkpoint, and the scores of the other weights."""
    if session.average is None:
        return {}
    others = {task: scores.metrics for task, scores in scored.others.items()}
    return {"weights": session.plan.manifest.eval.weights, f"{_other_weights(session)}_scores": others}


def _other_weights(session: Session) -> str:
    """The weights that do not choose the best checkpoint."""
    return RAW_WEIGHTS if session.plan.manifest.eval.weights == EMA else EMA


def _choose(session: Session, found: Mapping[str, TaskScores]) -> tuple[float | None, bool]:
    """What `eval.select` comes to now, and whether this checkpoint is the best: better than all before it, or as good.

    Of equal checkpoints the later is the best, but an equal one is no gain: patience goes on counting.
    """
    state, select = session.state, session.plan.manifest.eval.select
    assert select is not None
    heads = {task: bound.head for task, bound in session.plan.tasks.items()}
    chosen = selected(select, heads, {task: scores.metrics for task, scores in found.items()})
    for task in chosen.left_out:
        reason = "; ".join(found[task].undefined) if task in found else "no rows"
        line = f"{select}, which chooses the best checkpoint, is undefined on validation: {reason}"
        if select == MEAN:
            figure = f"{task}/{heads[task].main_metric}"
            line = f"{figure} is undefined on validation, and left out of the mean that chooses the best checkpoint: {reason}"
        session.warn_once(f"selection of {task}", line)
    best = state.best_skills
    if best is None and state.best_value is not None:  # a state of an older emomtl, which knew one task's metric alone
        task, _, metric = select.partition("/")
        best = dict(selected(select, heads, {task: {metric: state.best_value}}).skills)
    state.stale = 0 if is_better(chosen.skills, best) else state.stale + 1
    if not is_as_good(chosen.skills, best):
        return chosen.value, False
    state.best_value, state.best_step, state.best_skills = chosen.value, state.step, dict(chosen.skills)
    return chosen.value, True


def _save(session: Session, best: bool) -> None:
    """Write a checkpoint, move `last` (and `best`) to it, remove those that neither points to; one process does it for all."""
    state, run = session.state, session.run
    state.window = {task: (float(session.window[task]), number) for task, (_, number) in state.window.items()}
    if not session.ranks.first:
        return
    path = save_checkpoint(run, state.step, session.parts(), _record(session))
    session.record_changes()  # before `last` moves: no step is gone on from whose facts are not recorded
    if best or state.best_step is None:
        point(run, "best", path)
    point(run, "last", path)
    keep = {path} | ({run.checkpoints / f"step-{state.best_step:08d}"} if state.best_step is not None else set())
    prune(run, keep)
    session.emit("emomtl_checkpointed", run=run, path=path)


def _record(session: Session) -> dict[str, Any]:
    """The JSON of a checkpoint: the state, how far the events go, the labels that the heads answer with, and the processes."""
    labels = {name: list(bound.head.outputs(session.data.taxonomies[name])) for name, bound in session.plan.tasks.items()}
    state, events = session.state.as_json(), session.run.events_size()
    return {"run": state, "events": events, "labels": labels, "processes": session.ranks.world_size}


def _outcome(session: Session) -> Outcome:
    """Keep the validation scores of the last and the best checkpoint, unless an earlier start of the run has done so.

    With the scores their answers are kept (targets and probabilities, no texts), and the thresholds and temperatures
    that are tuned on them.
    """
    state, run, ranks = session.state, session.run, session.ranks
    reason = state.stopped or "finished"
    session.display.phase("scoring")
    kept = {entry["which"] for entry in run.scores() if entry.get("by") == "train"}
    found: dict[str, Mapping[str, TaskScores]] = {}
    by_step: dict[int, Mapping[str, TaskScores]] = {}
    others: dict[str, Mapping[str, TaskScores]] = {}
    for which in ("last", "best"):
        path = run.checkpoints / ranks.broadcast_object(find_checkpoint(run, which).resolve().name if ranks.first else "")
        step = int(path.name.split("-")[1])
        if session.scored is None or session.scored.step != step:
            checkpoint = open_own(run, path)
            restore_model(session.model, checkpoint)
            if session.average is not None and checkpoint.has(EMA):
                session.average.restore(checkpoint.tensors(EMA))
            session.scored = _validate(session, step)
        if step not in by_step:  # best and last may be one checkpoint, which is scored once
            by_step[step] = _with_tuned(session, session.scored)
            _keep_tunings(session, path.name)
        found[which] = by_step[step]
        if session.average is not None:
            others[which] = session.scored.others
        if which not in kept and ranks.first:
            entry: dict[str, Any] = {"split": "validation", "which": which, "checkpoint": path.name, "step": step, "by": "train"}
            if which == "best":
                entry |= {"selected_by": session.plan.manifest.eval.select, "selected": state.best_value}
            entry["answers"] = save_answers(run, "validation", path.name, session.scored.answers)
            if session.average is not None:
                other = {task: scores.as_json() for task, scores in session.scored.others.items()}
                entry |= {"weights": session.plan.manifest.eval.weights, "other_weights": {_other_weights(session): other}}
            run.add_scores(entry | {"tasks": {task: scores.as_json() for task, scores in found[which].items()}})
    return Outcome(reason, state.step, found, state.best_step, state.best_value, others)


def _with_tuned(session: Session, scored: Validated) -> dict[str, TaskScores]:
    """Scores on validation with those at tuned thresholds, cross-fitted; in the first process, which has the answers."""
    found = dict(scored.scores)
    for task, both in scored.answers.items():
        of = (session.plan.tasks[task].head, session.data.taxonomies[task])
        found[task] = found[task].with_tuned(Tuned.cross_fitted(), *of, *both)
    return found


def _keep_tunings(session: Session, checkpoint: str) -> None:
    """Tune on what a checkpoint answered on validation, keep it in the run, and say what tuning is worth.

    An earlier start of the run may have done so; other processes than the first have no answers, and so nothing to tune.
    """
    assert session.scored is not None
    answers = session.scored.answers
    tunings = fit_tasks(session.plan.tasks, answers)
    for task in keep_tunings(session.run, checkpoint, tunings):
        session.run.log(f"{task}, {checkpoint}: {tunings[task].described()}")


def _validate(session: Session, step: int) -> Validated:
    """All tasks on validation with the weights of `step`, raw and averaged where an average is kept."""
    if session.average is None:
        return _scored(session, step)
    raw = _scored(session, step)
    with session.average.in_place():
        averaged = _scored(session, step)
    chosen, other = (averaged, raw) if session.plan.manifest.eval.weights == EMA else (raw, averaged)
    return replace(chosen, others=other.scores)


def _scored(session: Session, step: int) -> Validated:
    """All tasks on validation with the weights as the model has them."""
    found = session.evaluator.evaluate(session.plan.tasks, session.data, session.tokens, "validation")
    return Validated(step, found.scores, found.predictions)
