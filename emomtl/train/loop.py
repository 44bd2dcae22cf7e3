"""The training loop: one step after another; then log, score, save, each where it is due."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import Any

import torch

from emomtl.errors import EmomtlError, clean
from emomtl.model.network import count_parameters
from emomtl.run import point, prune, save_checkpoint
from emomtl.train.anomalies import ConstantLossWarning, finite_weights
from emomtl.train.environment import keep_plugins
from emomtl.train.forecast import task_notes
from emomtl.train.session import Session, Step
from emomtl.train.signals import Interrupted, Signals
from emomtl.train.step import RAW, remember, settle, take_step
from emomtl.train.validation import Outcome, Validated, keep_scores, score_validation

LAG = {"cpu": 0, "cuda": 1}
"""By device, the steps by which the host may be behind: on CUDA it does not wait for a step."""


def train(session: Session) -> Outcome:
    """Train a session to its end, or to a reason to stop; its run directory holds every result.

    Raises `Interrupted` after a signal, once a checkpoint is written. The run is closed in any
    case.
    """
    run, state, emit = session.run, session.state, session.reporter.emit
    began, is_finished = time.monotonic(), False
    validated = None
    try:
        if not state.finished:
            _log_start(session)
            emit("emomtl_started", run=run)
            session.reporter.display.phase("training")
            with Signals() as signals, session.phases("other"):
                validated = _train_steps(session, signals, began)
        with session.phases("evaluation"):
            outcome = keep_scores(session, validated)
        seconds = time.monotonic() - began
        ended = f"{outcome.reason} after {outcome.steps} steps"
        run.log(f"{ended}; {seconds:.1f} s since the start or the last resume")
        is_finished = True
        emit("emomtl_finished", run=run, error=None)
        return outcome
    except BaseException as error:
        message = str(error) or type(error).__name__
        # A full disk or a listener that fails must not hide why the run stopped.
        with suppress(EmomtlError):
            run.log(f"stopped at step {state.step}: {message}")
            line = clean("; ".join(message.splitlines()), 2000)
            run.log_event("stop", step=state.step, error=line)
            if not is_finished:
                emit("emomtl_finished", run=run, error=message)
        raise
    finally:
        with suppress(EmomtlError):
            for times in session.plan.plugins.events.listener_times:
                run.log(f"listener {times}")
        run.close()


def _log_start(session: Session) -> None:
    """Log what the run is about to do."""
    plan, run, length = session.plan, session.run, session.length
    facts: dict[str, Any] = {
        "step": session.state.step,
        "total": length.total,
        "epochs": length.epochs,
        "parameters": count_parameters(session.model),
    }
    if session.resumed_elsewhere:
        facts["elsewhere"] = session.resumed_elsewhere
    run.log_event("start", **facts)
    run.log(f"training {run.name}: {', '.join(plan.tasks)} from step {session.state.step}")
    weights = ""
    if session.average is not None:
        weights = f", with its {plan.manifest.eval.weights} weights"
    run.log(f"the best checkpoint is chosen on validation by {plan.selection_in_words}{weights}")
    for task, scale in session.losses.scales.items():
        run.log(f"{task}: {scale.sentence}")
    for task, lines in task_notes(plan).items():
        run.log(f"{task}: {'; '.join(lines)}")


def _train_steps(session: Session, signals: Signals, began: float) -> Validated | None:
    """Take all steps of the run, and do what is due after each; returns the last validation.

    `began` is the monotonic time at which the run was started or resumed.
    """
    state, length, manifest = session.state, session.length, session.plan.manifest
    validated: Validated | None = None
    constant_losses = ConstantLossWarning(session.reporter)
    session.model.train()
    if session.reduction is not None:
        session.reduction.signals = signals
    while not state.finished:
        progress_before = length.progress(state)
        step = take_step(session)
        remember(session, step)
        session.phases.saw(step.drawing)
        progress = length.progress(state)
        session.reporter.display.stepped(state, progress, sum(step.drawing.examples.values()))

        # What is due after this step.
        is_last = progress >= 1.0
        log_due = is_last or state.step % manifest.train.log_every == 0
        if manifest.eval.every:
            score_due = is_last or state.step % manifest.eval.every == 0
        else:
            score_due = is_last or length.epoch(progress) > length.epoch(progress_before)
        save_every = manifest.checkpoint.every
        save_due = score_due or (save_every is not None and state.step % save_every == 0)

        # A log and a checkpoint need all steps settled; else the host may be a step behind CUDA.
        settle(session, 0 if log_due or save_due else LAG[session.losses.device])
        if log_due:
            with session.phases("logging"):
                _log_step(session, step, constant_losses)
        is_best = False
        if score_due:
            with session.phases("evaluation"):
                validated, is_best = score_validation(session)

        # The end is logged before the last checkpoint: a checkpoint says how far the log goes.
        state.finished = is_last or state.stopped is not None
        if state.finished:
            session.run.log_event(
                "finish",
                step=state.step,
                reason=state.stopped or "finished",
                skipped=state.skipped,
                seconds=round(time.monotonic() - began, 1),
            )
        # With several processes, a signal that any of them has received.
        sharing = session.reduction
        stop_signal = signals.received if sharing is None else sharing.stop_signal
        if save_due or stop_signal is not None:
            settle(session)
            with session.phases("checkpoint"):
                save(session, is_best)
        if stop_signal is not None:
            session.ranks.barrier()
            raise Interrupted(stop_signal, state.step)
    return validated


def _log_step(session: Session, step: Step, constant_losses: ConstantLossWarning) -> None:
    """Log the mean losses since the last log, with what sampler and weighting did in this step."""
    state = session.state
    losses: dict[str, float] = {}
    raw_losses: dict[str, float] = {}
    for name, mean in session.window.means().items():
        if name.endswith(RAW):
            raw_losses[name.removesuffix(RAW)] = mean
        else:
            losses[name] = mean
    session.window.clear()
    state.losses |= losses
    norms = {}
    for task, norm in step.encoder_norms.items():
        # A task's part of the summed gradient: its own norm times its weight in the sum.
        weighted = float(norm * step.weights.get(task, 1.0))
        if math.isfinite(weighted):
            norms[task] = weighted
    session.run.log_event(
        "step",
        step=state.step,
        progress=session.length.progress(state),
        rate=step.rate,
        losses=losses,
        raw_losses=raw_losses,
        weights=finite_weights(step.weights, state.step, session.reporter),
        probabilities=step.drawing.probabilities,
        counts=state.counts,
        updates=state.updates,
        grad_norm=float(step.norm) if bool(torch.isfinite(step.norm)) else None,
        encoder_grad_norms=norms,
    )
    constant_losses.watch(losses)
    session.reporter.display.logged(state, step.rate)
    session.reporter.emit(
        "emomtl_stepped", run=session.run, step=state.step, losses=losses, raw_losses=raw_losses
    )


def save(session: Session, best: bool) -> None:
    """Write a checkpoint, let `last` (and `best`) name it, and remove those that neither names.

    Of several processes the first one does it for all.
    """
    state, run = session.state, session.run
    state.window = session.window.totals()
    if not session.ranks.first:
        return
    path = save_checkpoint(run, state.step, session.checkpoint_tensors(), _facts(session))
    # Before `last` moves: no run may go on from a step whose environment is not recorded.
    if session.amended_environment is not None:
        run.amend(session.plan.manifest, session.amended_environment)
        keep_plugins(
            session.plan, run
        )  # after it: the record then knows the old copies and the new
        session.amended_environment = None
    if best or state.best_step is None:
        point(run, "best", path)
    point(run, "last", path)
    keep = {path}
    if state.best_step is not None:
        keep.add(run.checkpoints / f"step-{state.best_step:08d}")
    prune(run, keep)
    session.reporter.emit("emomtl_checkpointed", run=run, path=path)


def _facts(session: Session) -> dict[str, Any]:
    """The JSON of a checkpoint: state, bytes of the event log, labels of each head, processes."""
    return {
        "run": session.state.as_json(),
        "events": session.run.events_size(),
        "labels": session.labels(),
        "processes": session.ranks.world_size,
    }
