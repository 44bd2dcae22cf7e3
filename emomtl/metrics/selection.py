"""Which metric chooses the best checkpoint of a run: that of one task, or the mean over tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emomtl.contracts.heads import Head

MEAN = "mean"
"""The value of `eval.select` that stands for the mean over tasks."""

MEAN_IN_WORDS = "the mean over tasks of their main metrics"

RAW, EMA = "raw", "ema"
"""The values of `eval.weights`: the weights that the optimiser moves, and their moving average."""


@dataclass(frozen=True)
class Selected:
    """What an evaluation is worth for the choice of the best checkpoint.

    `value` is the chosen metric as it is, or the mean over tasks; None where it is undefined.
    `skills` are the values that two evaluations are compared by, more is better: one for each task
    that the mean takes, or one alone. `left_out` are the tasks whose main metric is undefined.
    """

    value: float | None = None
    skills: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def default_selection(heads: Mapping[str, Head], target: str | None) -> str:
    """What chooses the best where the manifest does not say: the target's main metric, the only
    task's, else the mean.
    """
    only = next(iter(heads)) if len(heads) == 1 else None
    task = target if target in heads else only
    return MEAN if task is None else f"{task}/{heads[task].main_metric}"


def selecting_task(select: str | None) -> str | None:
    """The task whose metric selects the best checkpoint; None for the mean over tasks."""
    return select.partition("/")[0] if select is not None and "/" in select else None


def averaged(heads: Mapping[str, Head]) -> list[str]:
    """The tasks that the mean takes: those that answer a text; all of them where none does.

    A task that answers nothing (masked words) is trained for the sake of others, and must not
    choose for them.
    """
    answering = [task for task, head in heads.items() if head.answers != "nothing"]
    return answering or list(heads)


def selected(
    select: str, heads: Mapping[str, Head], metrics: Mapping[str, Mapping[str, float | None]]
) -> Selected:
    """The value by which an evaluation, given as metrics by task, is selected."""
    if select != MEAN:
        task, _, metric = select.partition("/")
        value = metrics.get(task, {}).get(metric)
        if value is None:
            return Selected(left_out=(task,))
        return Selected(value, {task: -value if heads[task].less_is_better(metric) else value})
    skills = {task: heads[task].skill(metrics.get(task, {})) for task in averaged(heads)}
    known = {task: skill for task, skill in skills.items() if skill is not None}
    value = _mean(known) if known else None
    return Selected(value, known, tuple(task for task in skills if task not in known))


def is_better(new: Mapping[str, float], best: Mapping[str, float] | None) -> bool:
    """Whether the skills of an evaluation are more than those of the best one so far (None before
    the first).
    """
    return _difference(new, best) > 0


def is_as_good(new: Mapping[str, float], best: Mapping[str, float] | None) -> bool:
    """Whether they are more, or exactly equal: of equal checkpoints the later one is the best."""
    return _difference(new, best) >= 0


def _difference(new: Mapping[str, float], best: Mapping[str, float] | None) -> float:
    """The mean of the new skills less that of the best ones, over the tasks that both have.

    A task that is undefined in one of the two evaluations tells nothing of which is better: with it
    the mean of one would be over other tasks than that of the other. Where they have no task in
    common the new one counts as better.
    """
    if not new:
        return float("-inf")
    common = [task for task in new if task in (best or {})]
    if best is None or not common:
        return float("inf")
    return _mean({task: new[task] for task in common}) - _mean(
        {task: best[task] for task in common}
    )


def _mean(skills: Mapping[str, float]) -> float:
    return sum(skills.values()) / len(skills)


def selection_in_words(select: str, heads: Mapping[str, Head] | None = None) -> str:
    """What chooses the best checkpoint, for people; with `heads`, which metric of which task is in
    the mean, and which is not.
    """
    if select != MEAN:
        return select
    if heads is None:
        return MEAN_IN_WORDS
    tasks = averaged(heads)
    named = ", ".join(f"{task}/{heads[task].main_metric}" for task in tasks)
    others = [task for task in heads if task not in tasks]
    aside = f"; not {', '.join(others)}, which answers no text" if others else ""
    return f"{MEAN_IN_WORDS} ({named}{aside})"
