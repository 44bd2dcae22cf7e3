"""The thresholds and the temperature of one task, tuned on its validation rows, and the metrics at
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.metrics.tuning.scaling import fit_scaling
from emomtl.metrics.tuning.thresholds import MIN_SUPPORT, Kind, cross_fitted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Taxonomy

WAYS: Mapping[str, Kind] = {"tuned": "global", "tuned_by_label": "per-label"}
"""The ways to tune, by what the names of their metrics end with: one threshold for all labels, or
one a label.
"""

WRITTEN: Mapping[str, str] = {way.replace("_", "-"): way for way in WAYS}
"""The same ways as `predict --thresholds` and the model card write them."""

JUDGED_BY = "macro_f1"
"""The metric whose optimism is stated; thresholds are tuned for the mean F1 over labels, or for the
F1 of each label.
"""


@dataclass(frozen=True)
class TunedThresholds:
    """A threshold for each label, in the order of the task's labels.

    `shared` are the labels that had too few positive rows for a threshold of their own. `in_sample`
    is macro F1 on the rows that the thresholds were tuned on, which is too good; `cross_fitted` is
    the same with each fifth of the rows answered at thresholds of the other four. None where
    undefined.
    """

    values: tuple[float, ...]
    shared: tuple[str, ...] = ()
    in_sample: float | None = None
    cross_fitted: float | None = None

    @property
    def optimism(self) -> float | None:
        """By how much the metric on the tuned rows is too good."""
        if self.in_sample is None or self.cross_fitted is None:
            return None
        return self.in_sample - self.cross_fitted


@dataclass(frozen=True)
class TaskTuning:
    """What `rows` validation rows say of a task: thresholds by way (see `WAYS`), and a temperature.

    `thresholds` is empty for a head that does not answer by thresholds. `untuned` is macro F1 of
    the same rows at 0.5.
    """

    rows: int
    labels: tuple[str, ...]
    thresholds: Mapping[str, TunedThresholds]
    temperature: float
    untuned: float | None = None

    def decisions(self, probabilities: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """By way, 1 where a label's probability (n, L) reaches its threshold, else 0.

        Columns after those of the labels are labels that the model does not have: they are 0.
        """
        return {way: decided(probabilities, of.values) for way, of in self.thresholds.items()}

    def described(self) -> str:
        """What tuning is worth on these rows, in a sentence."""
        parts = [f"tuned on {self.rows:,} validation rows: temperature {self.temperature:.3g}"]
        names = {"tuned": "one threshold for all labels", "tuned_by_label": "one a label"}
        for way, tuned in self.thresholds.items():
            scores = (self.untuned, tuned.in_sample, tuned.cross_fitted)
            if None not in scores:
                untuned, in_sample, cross_fitted = (f"{score:.4f}" for score in scores)
                name = names.get(way, way)
                tuned_score = f"{in_sample} with {name} ({cross_fitted} cross-fitted)"
                parts.append(f"{JUDGED_BY} {untuned} at 0.5, {tuned_score}")
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """What is kept in a run."""
        thresholds = {}
        for way, tuned in self.thresholds.items():
            thresholds[way] = {
                "by_label": dict(zip(self.labels, tuned.values, strict=True)),
                "too_few_positives": list(tuned.shared),
                JUDGED_BY: tuned.in_sample,
                f"{JUDGED_BY}_cross_fitted": tuned.cross_fitted,
            }
        return {
            "rows": self.rows,
            "labels": list(self.labels),
            "temperature": self.temperature,
            f"{JUDGED_BY}_at_0.5": self.untuned,
            "thresholds": thresholds,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TaskTuning:
        """What `as_json` wrote; KeyError, TypeError or ValueError where it is something else."""
        labels = tuple(map(str, data["labels"]))
        thresholds = {}
        for way, tuned in data["thresholds"].items():
            thresholds[str(way)] = TunedThresholds(
                values=tuple(_between(tuned["by_label"][label], 0, 1) for label in labels),
                shared=tuple(map(str, tuned["too_few_positives"])),
                in_sample=_number(tuned[JUDGED_BY]),
                cross_fitted=_number(tuned[f"{JUDGED_BY}_cross_fitted"]),
            )
        temperature = _between(data["temperature"], 0, 1e6)
        untuned = _number(data[f"{JUDGED_BY}_at_0.5"])
        return cls(int(data["rows"]), labels, thresholds, temperature, untuned)


def fit_task(
    head: Head, labels: Sequence[str], targets: NDArray[Any], probabilities: NDArray[Any]
) -> TaskTuning | None:
    """Tune on these rows; None for a head that answers with no labels, and where there is no row.

    Targets are (n, L) with NaN where unknown, or label numbers (n,); probabilities are (n, L).
    """
    label_numbers = targets.ndim == 1 and targets.dtype.kind in "iu"
    if head.answers != "labels" or not len(targets) or not (head.by_thresholds or label_numbers):
        return None
    temperature = fit_scaling(probabilities, targets, "temperature").temperature
    if not head.by_thresholds:
        return TaskTuning(len(targets), tuple(labels), {}, temperature)

    def judged(bent: NDArray[Any]) -> float | None:
        """The metric of probabilities that are bent so that each threshold is at 0.5."""
        return head.decision_metrics(targets, _at_half(bent)).get(JUDGED_BY)

    thresholds = {}
    for way, kind in WAYS.items():
        fitted = cross_fitted(probabilities, targets, kind, min_support=MIN_SUPPORT)
        thresholds[way] = TunedThresholds(
            values=tuple(fitted.thresholds.values.tolist()),
            shared=tuple(labels[place] for place in fitted.thresholds.shared),
            in_sample=judged(fitted.tuned),
            cross_fitted=judged(fitted.held_out),
        )
    untuned = judged(probabilities)
    return TaskTuning(len(targets), tuple(labels), thresholds, temperature, untuned)


def decided(probabilities: NDArray[Any], thresholds: Sequence[float]) -> NDArray[np.float64]:
    """1 where a probability (n, L) reaches its label's threshold, else 0; 0 without a threshold."""
    import numpy as np

    decisions = np.zeros(probabilities.shape, np.float64)
    columns = slice(len(thresholds))
    decisions[:, columns] = probabilities[:, columns] >= np.asarray(thresholds)
    return decisions


def _at_half(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    return (probabilities >= 0.5).astype(float)


def cross_fitted_decisions(
    targets: NDArray[Any], probabilities: NDArray[Any]
) -> dict[str, NDArray[np.float64]]:
    """By way, the decisions for rows tuned on themselves: each fifth at thresholds of the rest."""
    decisions = {}
    for way, kind in WAYS.items():
        decisions[way] = _at_half(cross_fitted(probabilities, targets, kind).held_out)
    return decisions


def tuned_metrics(
    head: Head,
    taxonomy: Taxonomy | None,
    targets: NDArray[Any],
    decisions: Mapping[str, NDArray[Any]],
) -> dict[str, float | None]:
    """The metrics of decisions (n, L) by way: `macro_f1_tuned`, `ekman/macro_f1_tuned`, ...

    On a grouping a coarse label is decided where one of its members is.
    """
    metrics: dict[str, float | None] = {}
    for way, of_way in decisions.items():
        for name, value in head.decision_metrics(targets, of_way).items():
            metrics[f"{name}_{way}"] = value
        if taxonomy is None:
            continue
        for grouping in taxonomy.groupings:
            folded = head.fold(targets, of_way, grouping, taxonomy)
            for name, value in head.decision_metrics(*folded).items():
                metrics[f"{grouping.name}/{name}_{way}"] = value
    return metrics


def tuned_names(head: Head, taxonomy: Taxonomy | None) -> list[str]:
    """The names that `tuned_metrics` gives for a task, without scoring anything."""
    import numpy as np

    if not head.by_thresholds:
        return []
    targets = np.asarray([head.encode(None, taxonomy)])
    nothing = np.zeros((1, len(head.outputs(taxonomy))))
    return list(tuned_metrics(head, taxonomy, targets, dict.fromkeys(WAYS, nothing)))


def tuned_metric(name: str) -> tuple[str, str | None]:
    """A metric's name without its way of tuning, and that way; None for an untuned metric."""
    for way in sorted(WAYS, key=len, reverse=True):
        if name.endswith(f"_{way}"):
            return name.removesuffix(f"_{way}"), way
    return name, None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _between(value: Any, low: float, high: float) -> float:
    """A number strictly between two; ValueError for another one."""
    number = float(value)
    if not low < number < high:
        raise ValueError(f"{number} is not between {low} and {high}")
    return number
