"""What an export is held against: the run's own logits and scores on its validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.data.corpus import CorpusSplit
from emomtl.errors import EmomtlError, Problem
from emomtl.inference.evaluator import Evaluator
from emomtl.inference.trained import TrainedRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.compose import BoundTask

BATCH = 64
MOST_ROWS = 5_000
"""Validation rows of a task that are compared; of more, as many, evenly spaced."""


@dataclass(frozen=True)
class Reference:
    """Validation rows of one task: texts (n,), targets, and the run's own logits (n, L)."""

    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    targets: NDArray[Any]
    logits: NDArray[np.float32]


def references(
    trained: TrainedRun, tasks: Mapping[str, BoundTask], sources: Mapping[str, str]
) -> dict[str, Reference]:
    """The validation rows of each task with the run's logits in fp32, on the CPU."""
    data = trained.read_split("validation", list(tasks), sources)
    evaluator = Evaluator(trained.model, "cpu", "fp32", BATCH)
    found = {}
    for name in tasks:
        corpus, rows = data.corpus(name), data.rows(name, "validation")
        chosen = np.unique(
            np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(np.int64)
        )
        split = corpus.splits["validation"]
        places = [int(place) for place in rows.index[chosen]]
        texts = tuple(split.texts[place] for place in places)
        pairs = (
            None
            if split.pairs is None or name not in trained.paired
            else tuple(split.pairs[place] for place in places)
        )
        tokens = trained.tokens(CorpusSplit(np.arange(len(texts)), texts, pairs), name)
        logits = evaluator.logits(tokens, [name])[name]
        found[name] = Reference(texts, pairs, rows.targets[chosen], logits)
    return found


def largest_difference(name: str, reference: Reference, logits: NDArray[Any]) -> float:
    """The largest absolute difference of a logit from the run's own."""
    if logits.shape != reference.logits.shape:
        found = (
            f"'{name}': the exported model gives {logits.shape[-1]} numbers a text, the run"
            f" {reference.logits.shape[-1]}"
        )
        raise EmomtlError(Problem("export", found))
    return float(np.abs(logits - reference.logits).max())


def main_scores(
    bound: BoundTask, reference: Reference, logits: NDArray[Any]
) -> tuple[float | None, float | None]:
    """The task's main metric on these rows, of the run's logits and of the exported model's."""
    head = bound.head
    known = head.present(reference.targets)
    targets = head.decided(reference.targets[known])
    before, after = (
        head.metric(head.main_metric, targets, head.probabilities(values[known]))
        for values in (reference.logits, logits)
    )
    return before, after
