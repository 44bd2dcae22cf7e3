"""One task of one run: what its thresholds and its probabilities are worth on validation and, where it was scored, on test."""

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

Answered = tuple["NDArray[Any]", "NDArray[Any]"]
"""Targets and probabilities."""

FIGURES = ("macro_f1", "micro_f1", "subset_accuracy")
SECOND = 0.3
"""The threshold of GoEmotions' authors, which stands beside 0.5."""


@dataclass(frozen=True)
class Tuning:
    """One way to choose thresholds: its figures on validation (as tuned, cross-fitted) and on test, by name."""

    name: str
    thresholds: Thresholds
    validation: Mapping[str, float | None]
    cross_fitted: Mapping[str, float | None]
    test: Mapping[str, float | None]


@dataclass(frozen=True)
class Examined:
    """What came out for a task; `reliabilities` are by (scaling, split), `test` may be missing in all."""

    task: str
    labels: tuple[str, ...]
    tunings: tuple[Tuning, ...]
    scalings: Mapping[str, Scaling | None]
    reliabilities: Mapping[tuple[str, str], Reliability]
    rows: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """All of it for programs."""
        return {
            "task": self.task,
            "rows": dict(self.rows),
            "thresholds": {
                one.name: {
                    "by_label": dict(zip(self.labels, one.thresholds.values.tolist(), strict=True)),
                    "too_few_positives": [self.labels[i] for i in one.thresholds.shared],
                    "validation": dict(one.validation),
                    "validation_cross_fitted": dict(one.cross_fitted),
                    "test": dict(one.test),
                }
                for one in self.tunings
            },
            "calibration": {
                f"{scaling}/{split}": {
                    "ece": found.ece,
                    "brier": found.brier,
                    "negative_log_likelihood": found.negative_log_likelihood,
                    "bins": [[one.number, one.probability, one.share] for one in found.bins],
                }
                for (scaling, split), found in self.reliabilities.items()
            },
        }


def examine(task: str, head: Head, taxonomy: Taxonomy | None, answers: Mapping[str, Answered]) -> Examined:
    """Tune and scale on `answers["validation"]`, and look at both splits; test is only scored, nothing is chosen on it."""
    validation = answers["validation"]
    labels = head.outputs(taxonomy)
    tunings = tuple(_tunings(head, taxonomy, answers)) if validation[0].ndim == 2 else ()
    scalings: dict[str, Scaling | None] = {"as trained": None}
    for method in ("temperature", "vector"):
        scalings[method] = fit_scaling(validation[1], validation[0], method)
    reliabilities = {
        (name, split): reliability(probabilities if scaling is None else scaling(probabilities), targets)
        for name, scaling in scalings.items()
        for split, (targets, probabilities) in answers.items()
    }
    rows = {split: len(targets) for split, (targets, _) in answers.items()}
    return Examined(task, labels, tunings, scalings, reliabilities, rows)


def _tunings(head: Head, taxonomy: Taxonomy | None, answers: Mapping[str, Answered]) -> list[Tuning]:
    """0.5, 0.3, one for all, one a group of each grouping, one a label."""
    targets, probabilities = answers["validation"]
    ways: list[tuple[str, Kind, dict[str, Any]]] = [("0.5", "fixed", {}), (f"{SECOND}", "fixed", {"fixed": SECOND})]
    ways.append(("one for all", "global", {}))
    for grouping in taxonomy.groupings if taxonomy is not None else ():
        assert taxonomy is not None
        groups = [[taxonomy.index(member) for member in members] for members in grouping.groups.values()]
        ways.append((f"one a group ({grouping.name})", "per-group", {"groups": groups}))
    ways.append(("one a label", "per-label", {}))
    found = []
    for name, kind, options in ways:
        fitted = cross_fitted(probabilities, targets, kind, **options)
        tuned, honest = (_figures(head, targets, bent) for bent in (fitted.tuned, fitted.held_out))
        test = {}
        if "test" in answers:
            test = _figures(head, answers["test"][0], moved(answers["test"][1], fitted.thresholds.values))
        found.append(Tuning(name, fitted.thresholds, tuned, honest, test))
    return found


def _figures(head: Head, targets: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, float | None]:
    """The figures that tell ways to choose thresholds apart."""
    found = head.metrics(targets, probabilities)
    return {figure: found.get(figure) for figure in FIGURES}


def tables(examined: Sequence[Examined]) -> list[Table]:
    """Thresholds and calibration of each task as tables, tuned and untuned side by side."""
    found = []
    for one in examined:
        if one.tunings:
            found.append(_threshold_table(one))
        found.append(_calibration_table(one))
    return found


def _threshold_table(one: Examined) -> Table:
    columns = ["thresholds", "validation macro_f1", "cross-fitted macro_f1", "optimism"]
    columns += [f"test {figure}" for figure in FIGURES] if "test" in one.rows else []
    rows: list[tuple[Cell, ...]] = []
    for tuning in one.tunings:
        tuned, honest = tuning.validation["macro_f1"], tuning.cross_fitted["macro_f1"]
        optimism = tuned - honest if tuned is not None and honest is not None else None
        test = [tuning.test.get(figure) for figure in FIGURES] if "test" in one.rows else []
        rows.append((tuning.name, tuned, honest, optimism, *test))
    few = [one.labels[i] for i in one.tunings[-1].thresholds.shared]
    notes = [
        f"tuned for F1 on validation ({one.rows['validation']:,} rows); cross-fitted: each fifth with thresholds of the others"
    ]
    notes += [f"fewer than {MIN_SUPPORT} positive rows, so the threshold for all: {', '.join(few)}"] if few else []
    notes += [] if "test" in one.rows else ["test: `emomtl eval RUN --split test` scores it once, and keeps what is needed"]
    return Table(f"{one.task}: thresholds", tuple(columns), tuple(rows), tuple(notes))


def _calibration_table(one: Examined) -> Table:
    columns = ["probabilities", "temperature"]
    columns += [f"{split} {figure}" for split in one.rows for figure in ("ece", "brier", "negative_log_likelihood")]
    rows: list[tuple[Cell, ...]] = []
    for name, scaling in one.scalings.items():
        cells: list[Cell] = [name, scaling.temperature if scaling is not None and scaling.method == "temperature" else ""]
        for split in one.rows:
            found = one.reliabilities[name, split]
            cells += [found.ece, found.brier, found.negative_log_likelihood]
        rows.append(tuple(cells))
    notes = ("scaled on validation, so its figures there are optimistic; on test nothing was fitted",)
    return Table(f"{one.task}: calibration", tuple(columns), tuple(rows), notes)
