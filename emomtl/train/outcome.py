"""What a scoring pass over validation gives, and what a whole run comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from emomtl.metrics.scoring import TaskScores


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the reason, steps, and the validation scores of the best and the last checkpoint.

    `best_step` and `best_value` say which checkpoint is the best and what it was chosen by; None where that was never defined.
    `others` are the scores of the weights that do not choose, where an average of the weights is kept.
    """

    reason: str
    steps: int
    scores: Mapping[str, Mapping[str, TaskScores]]
    best_step: int | None = None
    best_value: float | None = None
    others: Mapping[str, Mapping[str, TaskScores]] = field(default_factory=dict)


@dataclass(frozen=True)
class Validated:
    """What the weights of a step made of validation: scores, and targets with probabilities, by task.

    Where an average of the weights is kept, these are of the weights that `eval.weights` names, and `others` are
    the scores of the other ones.
    """

    step: int
    scores: dict[str, TaskScores]
    answers: dict[str, tuple[NDArray[Any], NDArray[Any]]]
    others: dict[str, TaskScores] = field(default_factory=dict)
