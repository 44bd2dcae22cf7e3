"""Validation: which checkpoint is the best, when to stop, and the scores that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emomtl.errors import clean
from emomtl.inference.evaluator import Predictions
from emomtl.metrics.scoring import TaskScores, Tuned
from emomtl.metrics.selection import EMA, MEAN, is_as_good, is_better, selected, selection_in_words
from emomtl.metrics.selection import RAW as RAW_WEIGHTS
from emomtl.model.build import restore_model
from emomtl.run import find_checkpoint, open_own
from emomtl.run.predictions import save_predictions
from emomtl.run.tuned import fit_tasks, keep_tunings
from emomtl.train.early_stopping import stop_tasks
from emomtl.train.session import Session


@dataclass(frozen=True)
class Validated:
    """Scores on validation with the weights of a step, and targets with probabilities, by task.

    Where an average of the weights is kept, these are of the weights that `eval.weights` names, and
    `other_scores` are of the other ones.
    """

    step: int
    scores: dict[str, TaskScores]
    predictions: dict[str, Predictions]
    other_scores: dict[str, TaskScores] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the reason, steps, and the scores of the `best` and the `last` checkpoint.

    `best_step` and `best_value` are the best checkpoint and what it was chosen by; None where that
    was never defined. `other_scores` are those of the weights that do not choose, where an average
    of the weights is kept.
    """

    reason: str
    steps: int
    scores: Mapping[str, Mapping[str, TaskScores]]
    best_step: int | None = None
    best_value: float | None = None
    other_scores: Mapping[str, Mapping[str, TaskScores]] = field(default_factory=dict)


def score_validation(session: Session) -> tuple[Validated, bool]:
    """Score validation; returns the scores, and whether this is the best checkpoint so far.

    `state.stopped` is set where there is a reason to stop: a listener's, a lack of gain, or tasks
    that have all stopped.
    """
    state, manifest = session.state, session.plan.manifest
    display, emit = session.reporter.display, session.reporter.emit
    validated = validate(session, state.step)
    scores = validated.scores
    state.scores = {task: task_scores.defined for task, task_scores in scores.items()}
    state.evaluation += 1
    value, is_best = choose(session, scores)

    answers = emit("emomtl_should_stop", run=session.run, scores=state.scores)
    reasons = [clean(str(reason), 400) for reason in answers if reason]
    reasons = session.ranks.broadcast_object(reasons)  # listeners are those of the first process
    if manifest.eval.patience and state.stale >= manifest.eval.patience:
        chooser = selection_in_words(str(manifest.eval.select))
        reasons.append(f"{chooser} has not improved in {state.stale} evaluations")
    reasons += stop_tasks(session, scores)

    metrics = {task: task_scores.metrics for task, task_scores in scores.items()}
    main_metrics = {task: task_scores.facts.main_metric for task, task_scores in scores.items()}
    choice: dict[str, Any] = {"selected": value, "best": is_best, "reasons": reasons}
    others, other_weights = validated.other_scores, _other_weights(session)
    if session.average is not None:
        choice["weights"] = manifest.eval.weights
        choice[f"{other_weights}_scores"] = {task: one.metrics for task, one in others.items()}
    session.run.log_event(
        "evaluation", step=state.step, scores=metrics, main_metrics=main_metrics, **choice
    )
    display.evaluated(state, scores, is_best)
    if session.average is not None:
        display.also_evaluated(state, other_weights, others)
    emit("emomtl_evaluated", run=session.run, step=state.step, scores=state.scores)
    if reasons:
        state.stopped = "; ".join(reasons)
    return validated, is_best


def _other_weights(session: Session) -> str:
    """The weights that do not choose the best checkpoint."""
    return RAW_WEIGHTS if session.plan.manifest.eval.weights == EMA else EMA


def choose(session: Session, scores: Mapping[str, TaskScores]) -> tuple[float | None, bool]:
    """The value of `eval.select`, and whether this checkpoint is the best so far.

    Of equal checkpoints the later is the best, but it is no gain: `state.stale` goes on counting.
    """
    state, select = session.state, session.plan.manifest.eval.select
    assert select is not None  # a composed manifest is complete
    heads = {task: bound.head for task, bound in session.plan.tasks.items()}
    metrics = {task: task_scores.metrics for task, task_scores in scores.items()}
    selection = selected(select, heads, metrics)
    for task in selection.left_out:
        reason = "; ".join(scores[task].undefined) if task in scores else "no rows"
        metric, effect = select, "so it cannot choose the best checkpoint"
        if select == MEAN:
            metric = f"{task}/{heads[task].main_metric}"
            effect = "and left out of the mean that chooses the best checkpoint"
        line = f"{metric} is undefined on validation, {effect}: {reason}"
        session.reporter.warn_once(f"selection of {task}", line)
    best = state.best_skills
    if best is None and state.best_value is not None:
        # The state of an older emomtl, which chose by the metric of one task alone.
        task, _, metric = select.partition("/")
        best = dict(selected(select, heads, {task: {metric: state.best_value}}).skills)
    state.stale = 0 if is_better(selection.skills, best) else state.stale + 1
    if not is_as_good(selection.skills, best):
        return selection.value, False
    state.best_value, state.best_step = selection.value, state.step
    state.best_skills = dict(selection.skills)
    return selection.value, True


def keep_scores(session: Session, validated: Validated | None) -> Outcome:
    """Write the validation scores of the last and the best checkpoint into the run.

    With them the predictions (targets and probabilities, no texts), and the thresholds and
    temperatures that are tuned on them. What an earlier start of the run has written stays.
    `validated` are the scores of a step that need not be computed again.
    """
    state, run, ranks = session.state, session.run, session.ranks
    session.reporter.display.phase("scoring")
    written = {entry["which"] for entry in run.scores() if entry.get("by") == "train"}
    scores: dict[str, Mapping[str, TaskScores]] = {}
    other_scores: dict[str, Mapping[str, TaskScores]] = {}
    by_step: dict[int, Mapping[str, TaskScores]] = {}
    for which in ("last", "best"):
        name = find_checkpoint(run, which).resolve().name if ranks.first else ""
        name = ranks.broadcast_object(name)
        step = int(name.split("-")[1])
        if validated is None or validated.step != step:
            _restore(session, name)
            validated = validate(session, step)
        if step not in by_step:  # best and last may be one checkpoint
            by_step[step] = _with_tuned(session, validated)
            _keep_tunings(session, name, validated)
        scores[which] = by_step[step]
        if session.average is not None:
            other_scores[which] = validated.other_scores
        if which not in written and ranks.first:
            entry = _scores_entry(session, which, name, validated)
            tasks = {task: one.as_json() for task, one in scores[which].items()}
            run.add_scores(entry | {"tasks": tasks})
    reason, best = state.stopped or "finished", (state.best_step, state.best_value)
    return Outcome(reason, state.step, scores, *best, other_scores)


def _restore(session: Session, name: str) -> None:
    """Load the weights of a checkpoint of the session's own run."""
    checkpoint = open_own(session.run, session.run.checkpoints / name)
    restore_model(session.model, checkpoint)
    if session.average is not None and checkpoint.has(EMA):
        session.average.restore(checkpoint.tensors(EMA))


def _scores_entry(session: Session, which: str, name: str, validated: Validated) -> dict[str, Any]:
    """What `scores.json` says of a checkpoint beside the scores of its tasks."""
    evaluation = session.plan.manifest.eval
    entry: dict[str, Any] = {"split": "validation", "which": which, "checkpoint": name}
    entry |= {"step": validated.step, "by": "train"}
    if which == "best":
        entry |= {"selected_by": evaluation.select, "selected": session.state.best_value}
    entry["answers"] = save_predictions(session.run, "validation", name, validated.predictions)
    if session.average is not None:
        other = {task: scores.as_json() for task, scores in validated.other_scores.items()}
        entry |= {"weights": evaluation.weights, "other_weights": {_other_weights(session): other}}
    return entry


def _with_tuned(session: Session, validated: Validated) -> dict[str, TaskScores]:
    """The scores with those at cross-fitted thresholds, in the process that has predictions."""
    scores = dict(validated.scores)
    for task, (targets, probabilities) in validated.predictions.items():
        head, taxonomy = session.plan.tasks[task].head, session.data.taxonomies[task]
        tuned = Tuned.cross_fitted()
        scores[task] = scores[task].with_tuned(tuned, head, taxonomy, targets, probabilities)
    return scores


def _keep_tunings(session: Session, checkpoint: str, validated: Validated) -> None:
    """Tune thresholds on the predictions of a checkpoint, and write them into the run.

    Other processes than the first have no predictions, and so nothing to tune.
    """
    tunings = fit_tasks(session.plan.tasks, validated.predictions)
    for task in keep_tunings(session.run, checkpoint, tunings):
        session.run.log(f"{task}, {checkpoint}: {tunings[task].described()}")


def validate(session: Session, step: int) -> Validated:
    """Score all tasks on validation; where an average of the weights is kept, with both."""
    if session.average is None:
        return _score(session, step)
    raw = _score(session, step)
    with session.average.in_place():
        averaged = _score(session, step)
    if session.plan.manifest.eval.weights == EMA:
        return replace(averaged, other_scores=raw.scores)
    return replace(raw, other_scores=averaged.scores)


def _score(session: Session, step: int) -> Validated:
    plan = session.plan
    evaluation = session.evaluator.evaluate(plan.tasks, session.data, session.tokens, "validation")
    return Validated(step, evaluation.scores, evaluation.predictions)
