"""Labels and probabilities for new texts, at the task's labels and at every coarser grouping of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.data.corpus import CorpusSplit
from emomtl.errors import EmomtlError, Problem
from emomtl.inference.evaluator import require_finite
from emomtl.inference.predict.thresholds import Thresholds
from emomtl.metrics.tuning import decided

if TYPE_CHECKING:
    from emomtl.compose import BoundTask
    from emomtl.inference.trained import TrainedRun
    from emomtl.model.loaded import EncoderChoice

Answer = dict[str, dict[str, Any]]
"""For each task: `labels` (best first), `probabilities` by label, and `groupings` with the same two for each coarser one."""


@dataclass(frozen=True)
class Predictor:
    """Answers for texts from one trained model; keeps nothing of them.

    `paired` are the tasks that were trained on two texts a row; they answer for pairs only. `thresholds` (a number for
    each label, by task) decide which labels are answered instead of the heads' own.
    """

    trained: TrainedRun
    tasks: Mapping[str, BoundTask]
    paired: frozenset[str] = frozenset()
    thresholds: Thresholds = field(default_factory=dict)

    @classmethod
    def of(cls, trained: TrainedRun, tasks: Collection[str] = ()) -> Predictor:
        """A predictor for all tasks of a run that answer with something, or for those named; an error where there is none."""
        found = trained.tasks(tasks)
        silent = [name for name, bound in found.items() if bound.head.answers == "nothing"]
        if any(name in silent for name in tasks) or len(silent) == len(found):
            said = f"{', '.join(silent)}: a head of the kind '{found[silent[0]].head.kind}' has no answer for a text"
            raise EmomtlError(
                Problem("--task", said, "name a task with labels or numbers; this one can be scored by `emomtl eval`")
            )
        answering = {name: bound for name, bound in found.items() if name not in silent}
        return cls(trained, answering, frozenset(answering) & trained.paired)

    @property
    def sensitive(self) -> bool:
        """Whether texts and names of columns must not be shown."""
        return any(bound.task.sensitive for bound in self.tasks.values())

    def without_pairs(self, wanted: Collection[str] = ()) -> Predictor:
        """The tasks that answer for a text alone; an error where none does, or where one that is `wanted` by name does not."""
        if not self.paired:
            return self
        alone = {name: bound for name, bound in self.tasks.items() if name not in self.paired}
        if not alone or not self.paired.isdisjoint(wanted):
            found = f"{', '.join(sorted(self.paired))}: trained on pairs of texts, and there is no second text"
            remedy = "give a file with --out, with the second texts in a column that --pair names"
            raise EmomtlError(Problem("predict", found, remedy))
        return replace(self, tasks=alone, paired=frozenset())

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Answer]:
        """One answer per text (n,); the second texts (n,) are for the tasks that were trained on pairs, and for no other."""
        if pairs is None:
            self.without_pairs(self.tasks)
        found: dict[str, list[dict[str, Any]]] = {}
        encoder, first = self.trained.plan.encoder, _encodable(texts)
        second = None if pairs is None else _encodable(pairs)
        alike: dict[tuple[bool, EncoderChoice], list[str]] = {}
        for name in self.tasks:
            alike.setdefault((name in self.paired, encoder.for_task(name)), []).append(name)
        for (paired, _), names in alike.items():
            found |= self._answers(names, first, second if paired else None)
        return [{name: found[name][row] for name in self.tasks} for row in range(len(texts))]

    def _answers(
        self, names: list[str], texts: list[str], pairs: list[str] | None
    ) -> dict[str, list[dict[str, Any]]]:
        """The answers of tasks that read the same texts, encoded as in training."""
        split = CorpusSplit(np.arange(len(texts)), texts, pairs)
        logits = self.trained.evaluator.logits(self.trained.tokens(split, names[0]), names)
        for name in names:
            require_finite(name, logits[name], "these texts")
        return {name: _decoded(self.tasks[name], logits[name], self.thresholds.get(name)) for name in names}


def _encodable(texts: Sequence[str]) -> list[str]:
    """The texts with lone surrogates replaced by U+FFFD, as training reads them: tokenizers refuse them."""
    return [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]


def _decoded(bound: BoundTask, logits: np.ndarray[Any, Any], thresholds: Sequence[float] | None) -> list[dict[str, Any]]:
    """A task's answers, with those on its groupings, where thresholds decide that a name holds if one of its members does."""
    head, taxonomy = bound.head, bound.taxonomy
    probabilities = head.probabilities(logits)
    decisions = None if thresholds is None else decided(probabilities, thresholds)
    found = _level(bound, probabilities, head.outputs(taxonomy), decisions)
    for grouping in taxonomy.groupings if taxonomy is not None else ():
        assert taxonomy is not None
        nothing = np.asarray([head.encode(None, taxonomy)] * len(logits))
        _, coarse = head.fold(nothing, probabilities, grouping, taxonomy)
        made = None if decisions is None else head.fold(nothing, decisions, grouping, taxonomy)[1]
        for answer, level in zip(found, _level(bound, coarse, grouping.names, made), strict=True):
            answer.setdefault("groupings", {})[grouping.name] = level
    return found


def _level(
    bound: BoundTask,
    probabilities: np.ndarray[Any, Any],
    names: Sequence[str],
    decisions: np.ndarray[Any, Any] | None = None,
) -> list[dict[str, Any]]:
    if bound.head.answers == "numbers":
        return [{"values": dict(zip(names, map(float, row), strict=True))} for row in probabilities]
    if decisions is None:
        decoded = bound.head.decode(probabilities, names)
        labels = [[name for name, _ in chosen] for chosen in decoded]
    else:
        best_first = (-probabilities).argsort(axis=1, kind="stable")
        labels = [[names[i] for i in order if row[i]] for order, row in zip(best_first, decisions, strict=True)]
    return [
        {"labels": chosen, "probabilities": dict(zip(names, map(float, row), strict=True))}
        for chosen, row in zip(labels, probabilities, strict=True)
    ]


def labels_only(answer: Answer) -> Answer:
    """The same answer without probabilities; the numbers of a regression stay."""
    return {task: _without_probabilities(found) for task, found in answer.items()}


def _without_probabilities(found: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in found.items() if key not in ("probabilities", "groupings")}
    levels = {name: _without_probabilities(level) for name, level in found.get("groupings", {}).items()}
    return kept | ({"groupings": levels} if levels else {})


def flat(answer: Answer) -> dict[str, str | float]:
    """An answer as columns: `goemotions` holds labels joined by |, `goemotions:joy` is a probability."""
    columns: dict[str, str | float] = {}
    for task, found in answer.items():
        levels = {task: found} | {f"{task}/{name}": level for name, level in found.get("groupings", {}).items()}
        for name, level in levels.items():
            if "labels" in level:
                columns[name] = "|".join(level["labels"])
            columns |= {f"{name}:{label}": value for label, value in level.get("probabilities", level.get("values", {})).items()}
    return columns
