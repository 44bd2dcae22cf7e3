"""Predictions for texts in memory: labels and probabilities, also at each coarser grouping."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.data.corpus import CorpusSplit
from emomtl.errors import EmomtlError, Problem
from emomtl.inference.decoding import decoded
from emomtl.inference.evaluator import require_finite
from emomtl.inference.predict.thresholds import Thresholds
from emomtl.safety.escaping import encodable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.compose import BoundTask
    from emomtl.inference.trained import TrainedRun
    from emomtl.model.loaded import EncoderChoice

Prediction = dict[str, dict[str, Any]]
"""For each task `labels` (best first), `probabilities` by label, and `groupings` with the same two
for each coarser grouping; for a task with numbers `values` by name.
"""


@dataclass(frozen=True)
class Predictor:
    """Predicts texts with one trained model, and keeps nothing of them.

    `paired` are the tasks that were trained on two texts a row; they predict pairs only.
    `thresholds` (by task a number for each label) decide which labels are predicted, instead of the
    heads' own.
    """

    trained: TrainedRun
    tasks: Mapping[str, BoundTask]
    paired: frozenset[str] = frozenset()
    thresholds: Thresholds = field(default_factory=dict)

    @classmethod
    def of(cls, trained: TrainedRun, names: Collection[str] = ()) -> Predictor:
        """A predictor for the tasks with these names, or for all that predict something.

        EmomtlError where there is none, or where one that is named predicts nothing.
        """
        tasks = trained.tasks(names)
        silent = [name for name, bound in tasks.items() if bound.head.answers == "nothing"]
        if len(silent) == len(tasks) or not set(names).isdisjoint(silent):
            kind = tasks[silent[0]].head.kind
            finding = f"{', '.join(silent)}: a head of the kind '{kind}' has no answer for a text"
            remedy = "name a task with labels or numbers; this one can be scored by `emomtl eval`"
            raise EmomtlError(Problem("--task", finding, remedy))
        for name in silent:
            del tasks[name]
        return cls(trained, tasks, trained.paired & frozenset(tasks))

    @property
    def sensitive(self) -> bool:
        """Whether texts and names of columns must not be shown."""
        return any(bound.task.sensitive for bound in self.tasks.values())

    def without_pairs(self, names: Collection[str] = ()) -> Predictor:
        """The same for the tasks that predict a text alone.

        EmomtlError where none does, or where one of `names` needs a second text.
        """
        if not self.paired:
            return self
        single = {name: bound for name, bound in self.tasks.items() if name not in self.paired}
        if not single or not self.paired.isdisjoint(names):
            paired = ", ".join(sorted(self.paired))
            finding = f"{paired}: trained on pairs of texts, and there is no second text"
            remedy = "give a file with --out, with the second texts in a column that --pair names"
            raise EmomtlError(Problem("predict", finding, remedy))
        return replace(self, tasks=single, paired=frozenset())

    def probabilities(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """By task the probabilities (n, L) of its labels for n texts; for numbers their values.

        Second texts (n,) are read by the tasks that were trained on pairs, and by no other.
        EmomtlError where such a task gets none, or where an output is not finite.
        """
        if pairs is None:
            self.without_pairs(self.tasks)
        first_texts = list(map(encodable, texts))
        second_texts = None if pairs is None else list(map(encodable, pairs))
        # Tasks that read the same tokens share a pass of the encoder.
        by_reading: dict[tuple[bool, EncoderChoice], list[str]] = {}
        for name in self.tasks:
            reading = (name in self.paired, self.trained.plan.encoder.for_task(name))
            by_reading.setdefault(reading, []).append(name)
        probabilities: dict[str, NDArray[Any]] = {}
        for (paired, _), names in by_reading.items():
            numbers = np.arange(len(first_texts))
            split = CorpusSplit(numbers, first_texts, second_texts if paired else None)
            logits = self.trained.evaluator.logits(self.trained.tokens(split, names[0]), names)
            for name in names:
                require_finite(name, logits[name], "these texts")
                probabilities[name] = self.tasks[name].head.probabilities(logits[name])
        return probabilities

    def __call__(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> list[Prediction]:
        """One prediction per text, from its `probabilities`."""
        probabilities = self.probabilities(texts, pairs)
        predictions: list[Prediction] = [{} for _ in texts]
        for name, bound in self.tasks.items():
            thresholds = self.thresholds.get(name)
            of_task = decoded(bound.head, bound.taxonomy, probabilities[name], thresholds)
            for prediction, of_text in zip(predictions, of_task, strict=True):
                prediction[name] = of_text
        return predictions


def labels_only(prediction: Prediction) -> Prediction:
    """The prediction without probabilities; the numbers of a regression stay."""
    return {name: _without_probabilities(of_task) for name, of_task in prediction.items()}


def _without_probabilities(of_task: Mapping[str, Any]) -> dict[str, Any]:
    stripped = dict(of_task)
    stripped.pop("probabilities", None)
    if "groupings" in stripped:
        stripped["groupings"] = labels_only(stripped["groupings"])
    return stripped


def flat(prediction: Prediction) -> dict[str, str | float]:
    """A prediction as columns.

    `goemotions` holds labels joined by |, `goemotions:joy` a probability, `goemotions/ekman` the
    labels at a grouping.
    """
    columns: dict[str, str | float] = {}
    for task, of_task in prediction.items():
        levels = {task: of_task}
        for grouping, level in of_task.get("groupings", {}).items():
            levels[f"{task}/{grouping}"] = level
        for name, level in levels.items():
            if "labels" in level:
                columns[name] = "|".join(level["labels"])
            for key in ("probabilities", "values"):
                for label, number in level.get(key, {}).items():
                    columns[f"{name}:{label}"] = number
    return columns
