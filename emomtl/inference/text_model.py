"""What a model that answers for texts does, whatever computes its logits; imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.inference.decoding import decoded
from emomtl.safety.escaping import encodable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Taxonomy

Text = str | tuple[str, str]
"""A text, or a pair of texts."""

ThresholdChoice = Literal["tuned", "fixed"] | float | Mapping[str, float | Mapping[str, float]]
"""From which probability a label is answered: tuned on validation, the head's own, or given."""


@dataclass(frozen=True)
class AnswerHead:
    """A task's head with the labels (or names of numbers) that it answers with."""

    head: Head
    taxonomy: Taxonomy | None
    labels: tuple[str, ...]
    sensitive: bool = False


class TextModel(ABC):
    """Labels and probabilities for texts, by task.

    `tuned` are the thresholds (L,) by task that were tuned on validation.
    """

    def __init__(
        self, heads: Mapping[str, AnswerHead], tuned: Mapping[str, tuple[float, ...]]
    ) -> None:
        self._heads, self._tuned = dict(heads), tuned

    @property
    @abstractmethod
    def paired(self) -> frozenset[str]:
        """The tasks that read pairs of texts."""

    @abstractmethod
    def logits(
        self, texts: Sequence[str], pairs: Sequence[str] | None, tasks: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """The logits (n, L) of each of these tasks."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the model answers."""
        return tuple(self._heads)

    def labels(self, task: str) -> tuple[str, ...]:
        """The labels of a task, in the order of the columns of `predict_proba`."""
        return self._head(task).labels

    def is_sensitive(self, task: str) -> bool:
        """Whether the task's texts are about suicide or other harm: see the model card."""
        return self._head(task).sensitive

    def predict(
        self,
        texts: Text | Sequence[Text],
        tasks: str | Collection[str] | None = None,
        thresholds: ThresholdChoice = "tuned",
    ) -> Any:
        """The answer for one text, or a list of answers for several; pairs of texts are tuples.

        An answer has for each task `labels` (best first), `probabilities` by label, and, where the
        labels have groupings, `groupings` with the same two for each. A regression has `values`.
        """
        is_single, given = _as_list(texts)
        chosen = self._chosen(tasks)
        cuts = self._thresholds(chosen, thresholds)
        by_task = {}
        for task, logits in self._all_logits(given, chosen).items():
            answering = self._heads[task]
            probabilities = answering.head.probabilities(logits)
            by_task[task] = decoded(
                answering.head, answering.taxonomy, probabilities, cuts.get(task)
            )
        answers = [{task: by_task[task][row] for task in chosen} for row in range(len(given))]
        return answers[0] if is_single else answers

    def predict_proba(
        self, texts: Text | Sequence[Text], task: str | None = None
    ) -> NDArray[np.float64]:
        """Probabilities (n, L) of a task's labels, in the order of `labels(task)`; one text is one
        row.

        `task` may be left out where the model has one. A regression gives its values.
        """
        if task is None:
            if len(self._heads) != 1:
                raise EmomtlError(
                    "the model has several tasks",
                    remedy=f"name one: {', '.join(self._heads)}",
                    place="task",
                )
            task = next(iter(self._heads))
        _, given = _as_list(texts)
        head = self._head(task).head
        return head.probabilities(self._all_logits(given, [task])[task])

    def _all_logits(
        self, given: Sequence[Text], tasks: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """The logits of texts and pairs; EmomtlError where a task gets the other of the two."""
        for place, text in enumerate(given):
            if not isinstance(text, str) and not _is_pair(text):
                what = f"text {place} is of the type {type(text).__name__}"
                raise EmomtlError(Problem("texts", what, "a string, or a tuple of two strings"))
        paired = [task for task in tasks if task in self.paired]
        alone = [task for task in tasks if task not in self.paired]
        first = [encodable(text if isinstance(text, str) else text[0]) for text in given]
        has_pairs = [not isinstance(text, str) for text in given]
        found: dict[str, NDArray[np.float32]] = {}
        if paired:
            if not all(has_pairs):
                what = (
                    f"{', '.join(paired)}: trained on pairs of texts, and text"
                    f" {has_pairs.index(False)} is one text"
                )
                raise EmomtlError(
                    Problem("texts", what, "give tuples of two texts, or name other tasks")
                )
            second = [encodable(text[1]) for text in given]
            found |= self.logits(first, second, paired)
        if alone:
            if any(has_pairs):
                what = (
                    f"{', '.join(alone)}: trained on single texts, and text {has_pairs.index(True)}"
                    " is a pair"
                )
                raise EmomtlError(Problem("texts", what, "give strings, or name other tasks"))
            found |= self.logits(first, None, alone)
        return found

    def _head(self, task: str) -> AnswerHead:
        if task not in self._heads:
            found = f"'{clean(str(task))}' is no task of this model"
            raise EmomtlError(Problem("task", found, suggest(str(task), self._heads)))
        return self._heads[task]

    def _chosen(self, tasks: str | Collection[str] | None) -> list[str]:
        """The tasks that are asked for; all that need no pairs, or all, where none is named."""
        if tasks is None:
            alone = [task for task in self._heads if task not in self.paired]
            return alone or list(self._heads)
        named = [tasks] if isinstance(tasks, str) else list(tasks)
        for task in named:
            self._head(task)
        return named

    def _thresholds(
        self, tasks: Sequence[str], choice: ThresholdChoice
    ) -> dict[str, tuple[float, ...]]:
        """For each task that answers by thresholds, one for each of its labels."""
        asked = [task for task in tasks if self._heads[task].head.by_thresholds]
        if choice == "fixed":  # the heads' own
            return {}
        if choice == "tuned":
            missing = [task for task in asked if task not in self._tuned]
            if missing:
                found = f"{', '.join(missing)}: no thresholds were tuned for this checkpoint"
                remedy = (
                    'thresholds="fixed", or score validation once: `emomtl eval RUN --split'
                    " validation`"
                )
                raise EmomtlError(Problem("thresholds", found, remedy))
            return {task: self._tuned[task] for task in asked}
        if isinstance(choice, Mapping):
            for task in choice:
                self._head(task)
            return {task: self._given(task, choice[task]) for task in asked if task in choice}
        return {task: self._given(task, choice) for task in asked}  # type: ignore[arg-type]

    def _given(self, task: str, value: float | Mapping[str, float]) -> tuple[float, ...]:
        """Thresholds that the caller gives: one number, or one for each label."""
        labels = self.labels(task)
        if not isinstance(value, Mapping):
            return (_threshold(value),) * len(labels)
        for label in value:
            if label not in labels:
                raise EmomtlError(
                    Problem(
                        "thresholds",
                        f"'{task}' has no label '{clean(str(label))}'",
                        suggest(label, labels),
                    )
                )
        missing = [label for label in labels if label not in value]
        if missing:
            found = f"'{task}': no threshold for {len(missing)} label(s): {', '.join(missing[:8])}"
            raise EmomtlError(Problem("thresholds", found, "give all of them, or one number"))
        return tuple(_threshold(value[label]) for label in labels)


def _as_list(texts: Text | Sequence[Text]) -> tuple[bool, list[Any]]:
    """Whether one text (or pair) was given, and the texts as a list."""
    if isinstance(texts, str) or _is_pair(texts):
        return True, [texts]
    return False, list(texts)


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(part, str) for part in value)
    )


def _threshold(value: object) -> float:
    """A number between 0 and 1, both excluded."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        found = f"{clean(str(value), 60)} is no threshold"
        raise EmomtlError(
            Problem(
                "thresholds", found, '"tuned", "fixed", or a number greater than 0 and less than 1'
            )
        )
    return float(value)
