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
        return {way: decided(probabilities, found.values) for way, found in self.thresholds.items()}

    def described(self) -> str:
        """What tuning is worth on these rows, in a sentence."""
        said = [f"tuned on {self.rows:,} validation rows: temperature {self.temperature:.3g}"]
        names = {"tuned": "one threshold for all labels", "tuned_by_label": "one a label"}
        for way, one in self.thresholds.items():
            if (
                one.in_sample is not None
                and one.cross_fitted is not None
                and self.untuned is not None
            ):
                said.append(
                    f"{JUDGED_BY} {self.untuned:.4f} at 0.5, {one.in_sample:.4f} with"
                    f" {names.get(way, way)} ({one.cross_fitted:.4f} cross-fitted)"
                )
        return "; ".join(said)

    def as_json(self) -> dict[str, Any]:
        """What is kept in a run."""
        return {
            "rows": self.rows,
            "labels": list(self.labels),
            "temperature": self.temperature,
            f"{JUDGED_BY}_at_0.5": self.untuned,
            "thresholds": {
                way: {
                    "by_label": dict(zip(self.labels, one.values, strict=True)),
                    "too_few_positives": list(one.shared),
                    JUDGED_BY: one.in_sample,
                    f"{JUDGED_BY}_cross_fitted": one.cross_fitted,
                }
                for way, one in self.thresholds.items()
            },
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> TaskTuning:
        """What `as_json` wrote; KeyError, TypeError or ValueError where it is something else."""
        labels = tuple(str(label) for label in found["labels"])
        thresholds = {}
        for way, one in found["thresholds"].items():
            values = tuple(_between(one["by_label"][label], 0, 1) for label in labels)
            numbers = (_number(one[JUDGED_BY]), _number(one[f"{JUDGED_BY}_cross_fitted"]))
            thresholds[str(way)] = TunedThresholds(
                values, tuple(map(str, one["too_few_positives"])), *numbers
            )
        temperature = _between(found["temperature"], 0, 1e6)
        return cls(
            int(found["rows"]),
            labels,
            thresholds,
            temperature,
            _number(found[f"{JUDGED_BY}_at_0.5"]),
        )


def fit_task(
    head: Head, labels: Sequence[str], targets: NDArray[Any], probabilities: NDArray[Any]
) -> TaskTuning | None:
    """Tune on these rows; None for a head that answers with no labels, and where there is no row.

    Targets are (n, L) with NaN where unknown, or label numbers (n,); probabilities are (n, L).
    """
    numbers = targets.ndim == 1 and targets.dtype.kind in "iu"
    if head.answers != "labels" or not len(targets) or not (head.by_thresholds or numbers):
        return None
    temperature = fit_scaling(probabilities, targets, "temperature").temperature
    if not head.by_thresholds:
        return TaskTuning(len(targets), tuple(labels), {}, temperature)
    found = {}
    for way, kind in WAYS.items():
        fitted = cross_fitted(probabilities, targets, kind, min_support=MIN_SUPPORT)
        shared = tuple(labels[place] for place in fitted.thresholds.shared)
        # both are moved so that the threshold of each label lies at 0.5
        macro = [
            head.decision_metrics(targets, (moved >= 0.5).astype(float)).get(JUDGED_BY)
            for moved in (fitted.tuned, fitted.held_out)
        ]
        found[way] = TunedThresholds(tuple(fitted.thresholds.values.tolist()), shared, *macro)
    untuned = head.decision_metrics(targets, (probabilities >= 0.5).astype(float)).get(JUDGED_BY)
    return TaskTuning(len(targets), tuple(labels), found, temperature, untuned)


def decided(probabilities: NDArray[Any], thresholds: Sequence[float]) -> NDArray[np.float64]:
    """1 where a probability (n, L) reaches its label's threshold, else 0; 0 in columns without a
    threshold.
    """
    import numpy as np

    found = np.zeros(probabilities.shape, np.float64)
    found[:, : len(thresholds)] = probabilities[:, : len(thresholds)] >= np.asarray(thresholds)
    return found


def cross_fitted_decisions(
    targets: NDArray[Any], probabilities: NDArray[Any]
) -> dict[str, NDArray[np.float64]]:
    """By way, the decisions for rows that are tuned on themselves: each fifth at thresholds of the
    other four.
    """
    return {
        way: (cross_fitted(probabilities, targets, kind).held_out >= 0.5).astype(float)
        for way, kind in WAYS.items()
    }


def tuned_metrics(
    head: Head,
    taxonomy: Taxonomy | None,
    targets: NDArray[Any],
    decisions: Mapping[str, NDArray[Any]],
) -> dict[str, float | None]:
    """The metrics of decisions (n, L) by way, as `macro_f1_tuned`, and as `ekman/macro_f1_tuned` on
    groupings.

    On a grouping a coarse label is decided where one of its members is.
    """
    found: dict[str, float | None] = {}
    for way, made in decisions.items():
        found |= {
            f"{name}_{way}": value for name, value in head.decision_metrics(targets, made).items()
        }
        for grouping in taxonomy.groupings if taxonomy is not None else ():
            assert taxonomy is not None
            folded = head.decision_metrics(*head.fold(targets, made, grouping, taxonomy))
            found |= {f"{grouping.name}/{name}_{way}": value for name, value in folded.items()}
    return found


def tuned_names(head: Head, taxonomy: Taxonomy | None) -> list[str]:
    """The names that `tuned_metrics` gives for a task, without scoring anything."""
    import numpy as np

    if not head.by_thresholds:
        return []
    targets = np.asarray([head.encode(None, taxonomy)])
    nothing = np.zeros((1, len(head.outputs(taxonomy))))
    return list(tuned_metrics(head, taxonomy, targets, dict.fromkeys(WAYS, nothing)))


def tuned_metric(name: str) -> tuple[str, str | None]:
    """A metric's name without the way in which thresholds are tuned for it, and that way; None for
    any other metric.
    """
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
