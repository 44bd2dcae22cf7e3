"""What the thresholds and probabilities of one task are worth on validation and on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.analyses.calibration.reliability import Reliability, reliability
from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.tuning.scaling import Scaling, fit_scaling
from emomtl.metrics.tuning.thresholds import MIN_SUPPORT, Kind, Thresholds, cross_fitted, moved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Taxonomy

Predicted = tuple["NDArray[Any]", "NDArray[Any]"]
"""Targets and probabilities."""

METRICS = ("macro_f1", "micro_f1", "subset_accuracy")
"""The metrics of a multi-label head by which ways to choose thresholds are compared."""

ERRORS = ("ece", "brier", "negative_log_likelihood")
SECOND = 0.3
"""The threshold of GoEmotions' authors, which stands beside 0.5."""


@dataclass(frozen=True)
class Tuning:
    """One way to choose thresholds: its metrics on validation (tuned, cross-fitted) and on test."""

    name: str
    thresholds: Thresholds
    validation: Mapping[str, float | None]
    cross_fitted: Mapping[str, float | None]
    test: Mapping[str, float | None]


@dataclass(frozen=True)
class Examined:
    """What came out for a task; `reliabilities` are by (scaling, split), test only where kept."""

    task: str
    labels: tuple[str, ...]
    tunings: tuple[Tuning, ...]
    scalings: Mapping[str, Scaling | None]
    reliabilities: Mapping[tuple[str, str], Reliability]
    rows: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """All of it for programs."""
        thresholds, calibration = {}, {}
        for one in self.tunings:
            values = one.thresholds.values.tolist()
            thresholds[one.name] = {
                "by_label": dict(zip(self.labels, values, strict=True)),
                "too_few_positives": [self.labels[i] for i in one.thresholds.shared],
                "validation": dict(one.validation),
                "validation_cross_fitted": dict(one.cross_fitted),
                "test": dict(one.test),
            }
        for (scaling, split), measured in self.reliabilities.items():
            bins = [[one.number, one.probability, one.share] for one in measured.bins]
            errors = {name: getattr(measured, name) for name in ERRORS}
            calibration[f"{scaling}/{split}"] = {**errors, "bins": bins}
        rows = dict(self.rows)
        return {
            "task": self.task,
            "rows": rows,
            "thresholds": thresholds,
            "calibration": calibration,
        }


def examine(
    task: str, head: Head, taxonomy: Taxonomy | None, predicted: Mapping[str, Predicted]
) -> Examined:
    """Tune and scale on `predicted["validation"]`, and score every split; nothing is chosen on
    test.
    """
    targets, probabilities = predicted["validation"]
    tunings = tuple(_tunings(head, taxonomy, predicted)) if targets.ndim == 2 else ()
    scalings: dict[str, Scaling | None] = {"as trained": None}
    for method in ("temperature", "vector"):
        scalings[method] = fit_scaling(probabilities, targets, method)
    reliabilities = {}
    for name, scaling in scalings.items():
        for split, (truth, values) in predicted.items():
            scaled = values if scaling is None else scaling(values)
            reliabilities[name, split] = reliability(scaled, truth)
    rows = {split: len(truth) for split, (truth, _) in predicted.items()}
    return Examined(task, head.outputs(taxonomy), tunings, scalings, reliabilities, rows)


def _tunings(
    head: Head, taxonomy: Taxonomy | None, predicted: Mapping[str, Predicted]
) -> list[Tuning]:
    """0.5, 0.3, one for all, one a group of each grouping, one a label."""
    targets, probabilities = predicted["validation"]
    ways: list[tuple[str, Kind, dict[str, Any]]] = [
        ("0.5", "fixed", {}),
        (f"{SECOND}", "fixed", {"fixed": SECOND}),
        ("one for all", "global", {}),
    ]
    if taxonomy is not None:
        for grouping in taxonomy.groupings:
            groups = [list(map(taxonomy.index, names)) for names in grouping.groups.values()]
            ways.append((f"one a group ({grouping.name})", "per-group", {"groups": groups}))
    ways.append(("one a label", "per-label", {}))
    tunings = []
    for name, kind, options in ways:
        fitted = cross_fitted(probabilities, targets, kind, **options)
        tuned, honest = (_metrics(head, targets, p) for p in (fitted.tuned, fitted.held_out))
        test = {}
        if "test" in predicted:
            test_targets, test_probabilities = predicted["test"]
            at_thresholds = moved(test_probabilities, fitted.thresholds.values)
            test = _metrics(head, test_targets, at_thresholds)
        tunings.append(Tuning(name, fitted.thresholds, tuned, honest, test))
    return tunings


def _metrics(
    head: Head, targets: NDArray[Any], probabilities: NDArray[Any]
) -> dict[str, float | None]:
    metrics = head.metrics(targets, probabilities)
    return {name: metrics.get(name) for name in METRICS}


def tables(examined: Sequence[Examined]) -> list[Table]:
    """Thresholds and calibration of each task as tables, tuned and untuned side by side."""
    made = []
    for task in examined:
        if task.tunings:
            made.append(_threshold_table(task))
        made.append(_calibration_table(task))
    return made


def _threshold_table(task: Examined) -> Table:
    on_test = METRICS if "test" in task.rows else ()
    rows: list[tuple[Cell, ...]] = []
    for tuning in task.tunings:
        tuned, honest = tuning.validation["macro_f1"], tuning.cross_fitted["macro_f1"]
        optimism = tuned - honest if tuned is not None and honest is not None else None
        test = [tuning.test.get(name) for name in on_test]
        rows.append((tuning.name, tuned, honest, optimism, *test))
    notes = [
        f"tuned for F1 on validation ({task.rows['validation']:,} rows); cross-fitted: each fifth "
        "with thresholds of the others"
    ]
    if few := [task.labels[place] for place in task.tunings[-1].thresholds.shared]:
        shared = f"fewer than {MIN_SUPPORT} positive rows, so the threshold for all"
        notes.append(f"{shared}: {', '.join(few)}")
    if not on_test:
        command = "`emomtl eval RUN --split test`"
        notes.append(f"test: {command} scores it once, and keeps what is needed")
    columns = ["thresholds", "validation macro_f1", "cross-fitted macro_f1", "optimism"]
    columns += [f"test {name}" for name in on_test]
    return Table(f"{task.task}: thresholds", tuple(columns), tuple(rows), tuple(notes))


def _calibration_table(task: Examined) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, scaling in task.scalings.items():
        cells: list[Cell] = [name, scaling.temperature if name == "temperature" and scaling else ""]
        for split in task.rows:
            measured = task.reliabilities[name, split]
            cells += [getattr(measured, error) for error in ERRORS]
        rows.append(tuple(cells))
    note = "scaled on validation, so its figures there are optimistic; on test nothing was fitted"
    columns = [f"{split} {error}" for split in task.rows for error in ERRORS]
    columns = ["probabilities", "temperature", *columns]
    return Table(f"{task.task}: calibration", tuple(columns), tuple(rows), (note,))
