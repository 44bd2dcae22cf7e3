"""Predictions of one run on one split, and metrics as functions of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head


@dataclass(frozen=True)
class TaskPredictions:
    """Targets (n, ...) and probabilities (n, L) of the rows of a split, in the corpus's order.

    For a regression head, `probabilities` are its predicted numbers.
    """

    targets: NDArray[Any]
    probabilities: NDArray[Any]

    def __len__(self) -> int:
        return len(self.targets)

    def same_rows_as(self, other: TaskPredictions) -> bool:
        """Whether both have the same targets in the same order."""
        import numpy as np

        is_float = self.targets.dtype.kind == "f"
        return bool(np.array_equal(self.targets, other.targets, equal_nan=is_float))

    def rows(self, index: NDArray[Any]) -> TaskPredictions:
        """The predictions for some rows, by number or by mask."""
        return TaskPredictions(self.targets[index], self.probabilities[index])


MetricFunction = Callable[[TaskPredictions], float]
"""A metric, such as macro F1, as a function of predictions; NaN where it is undefined."""


@dataclass(frozen=True)
class HeadMetric:
    """A head's metric by its name, as a function of predictions."""

    head: Head
    name: str

    def __call__(self, predictions: TaskPredictions) -> float:
        """The metric; NaN where it is undefined."""
        value = self.head.metric(self.name, predictions.targets, predictions.probabilities)
        return math.nan if value is None else value

    def on_samples(self, predictions: TaskPredictions, samples: NDArray[Any]) -> NDArray[Any]:
        """The metric on every sample of row numbers (number, n), as (number,)."""
        targets, probabilities = predictions.targets, predictions.probabilities
        return self.head.metric_on_samples(self.name, targets, probabilities, samples)


def correct_rows(predictions: TaskPredictions) -> NDArray[Any]:
    """Which rows (n,) are correct: all known labels at 0.5, or the most probable label."""
    import numpy as np

    targets, probabilities = predictions.targets, predictions.probabilities
    if targets.ndim == 1:
        return np.asarray(probabilities.argmax(axis=1) == targets)
    is_unknown = np.isnan(targets)
    is_equal = (probabilities >= 0.5) == (targets >= 0.5)
    return np.asarray((is_equal | is_unknown).all(axis=1))


def label_indicators(predictions: TaskPredictions) -> tuple[NDArray[Any], NDArray[Any]]:
    """True and predicted labels as two matrices (n, L) of 0 and 1; 0 where a target is unknown.

    Predicted are the labels from 0.5 on, or the most probable label where each row has one.
    """
    import numpy as np

    targets, probabilities = predictions.targets, predictions.probabilities
    if targets.ndim == 1:
        one_hot = np.eye(probabilities.shape[1], dtype=np.float32)
        return one_hot[targets.astype(int)], one_hot[probabilities.argmax(axis=1)]
    is_known = ~np.isnan(targets)
    truth = is_known & (targets >= 0.5)
    predicted = is_known & (probabilities >= 0.5)
    return truth.astype(np.float32), predicted.astype(np.float32)
