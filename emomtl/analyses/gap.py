"""`emomtl analyse gap`: how much better a run is on rows that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge

from emomtl.analyses.runs import (
    TASK,
    FirstRun,
    RunFolder,
    RunFolders,
    lowest_hashes,
    option,
    same_texts,
    take,
)
from emomtl.contracts.analysis import Analysis, Cell, Picture, Result, Table
from emomtl.contracts.hookspecs import hookimpl
from emomtl.errors import EmomtlError, Problem
from emomtl.metrics.bootstrap import LEVEL, RESAMPLES, BootstrapEstimate, sample_rows
from emomtl.report.cells import DIFFERENCE_COLUMNS, difference_cells, estimate_cells, plain
from emomtl.report.drawing import COLOURS, drawing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.data.corpus import CorpusSplit
    from emomtl.inference.trained import TrainedRun

SPLITS = ("train", "validation")
LOSS = "loss"
METRICS = 2
"""Headline metrics of a head that are measured beside its loss."""

MARKERS = ("o", "s")
COLUMNS = (
    "figure",
    "run",
    "checkpoint",
    "step",
    *SPLITS,
    "gap",
    "low",
    "high",
    *DIFFERENCE_COLUMNS,
)


@dataclass(frozen=True)
class ScoredRows:
    """Texts of one split with their targets (n, ...), taken from `available` rows with a target."""

    texts: CorpusSplit
    targets: NDArray[Any]
    available: int


@dataclass(frozen=True)
class Gap:
    """One checkpoint of one run: metrics by (name, split), gaps by name, differences from the first
    run.

    A gap above zero says that the model is better on train, also for metrics of which less is
    better.
    """

    run: str
    about: str
    which: str
    step: int
    metrics: Mapping[tuple[str, str], BootstrapEstimate]
    gaps: Mapping[str, BootstrapEstimate]
    differences: Mapping[str, BootstrapEstimate] = field(default_factory=dict)


@dataclass(frozen=True)
class GapAnalysis(Analysis):
    """How much better runs are on rows that they were trained on: train and validation without
    dropout, best and last.
    """

    task: str | None = option(None, TASK)
    limit: Annotated[int, Ge(3)] | None = option(
        None, "Rows of either split at most; else as many of train as of validation."
    )
    seed: Annotated[int, Ge(0)] = option(17, "Of the rows that are taken, and of the samples.")

    def run(self, runs: RunFolders) -> Result:
        """Score the best and the last checkpoint of each run on rows of train and validation.

        Rows of train are those that the run's manifest takes, as many as validation has (or
        `limit` of both): those whose hash is lowest. No run's scores are changed. EmomtlError
        where the runs share no task, or read other validation rows.
        """
        task = runs.shared_task(self.task)
        notes: list[str] = []
        first = FirstRun(task, "validation")
        first_rows: dict[str, ScoredRows] = {}
        gaps: list[Gap] = []
        for place, run in enumerate(runs):
            runs.say(f"{run.folder}: reading")
            best, last = run.trained("best"), run.trained("last")
            head, rows = self._rows(run, best, task, notes)
            first.require_same(run.folder, (), rows["validation"].texts, rows["validation"].targets)
            first_rows = first_rows or rows
            if not same_texts(rows["train"].texts, first_rows["train"].texts):
                others = f"{run.folder.name} was trained on other rows than {runs.folders[0].name}"
                notes.append(f"{others}: train is paired by nothing")
            checkpoints = {"best": best, "last": last}
            if best.checkpoint.path == last.checkpoint.path:
                checkpoints = {"best, last": best}
            for which, trained in checkpoints.items():
                number = sum(len(part.targets) for part in rows.values())
                runs.say(f"{run.folder}: {which}, {number:,} rows")
                gap = _gap(trained, task, head, which, rows, self.seed)
                gap = replace(gap, run=run.name)
                gaps.append(_compared(gap, gaps) if place else gap)
        lines = [*_remarks(first_rows), *dict.fromkeys(notes)]
        return Result(
            f"The gap of {task}",
            _tables(task, gaps, lines),
            [Picture("Train and validation", "gap", _figure(task, gaps))],
            data={
                "task": task,
                "rows": {split: len(part.targets) for split, part in first_rows.items()},
                "of": {split: part.available for split, part in first_rows.items()},
                "seed": self.seed,
                "resamples": RESAMPLES,
                "notes": lines,
                "runs": [_gap_as_json(gap) for gap in gaps],
            },
        )

    def _rows(
        self, run: RunFolder, trained: TrainedRun, task: str, notes: list[str]
    ) -> tuple[Head, dict[str, ScoredRows]]:
        """The task's head, fitted on its training rows, and the rows of both splits."""
        head = trained.tasks([task])[task].head
        if head.answers == "nothing":
            found = f"'{task}' has no answer for a text"
            raise EmomtlError(Problem("--task", found, "name a task with labels or numbers"))
        data = run.read_training(trained, task)
        notes += data.notes
        head = head.fitted(data.rows(task, "train").targets, data.taxonomies[task])
        if trained.plan.features:
            notes.append(
                "features beside the encoder are those of any text: they know the training rows"
                " that they learned from"
            )
        rows: dict[str, ScoredRows] = {}
        most = self.limit
        for split in reversed(SPLITS):  # validation first: train gets at most as many rows
            of_task, texts = data.rows(task, split), data.corpus(task).splits[split]
            with_target = np.flatnonzero(head.present(of_task.targets))
            index = of_task.index[with_target]
            taken = lowest_hashes(texts, index, most or len(index), self.seed)
            targets = of_task.targets[with_target[taken]]
            rows[split] = ScoredRows(take(texts, index[taken]), targets, len(index))
            most = len(targets)
        return head, {split: rows[split] for split in SPLITS}


@hookimpl
def emomtl_analyses() -> dict[str, type[Analysis]]:
    """Offer `gap`."""
    return {"gap": GapAnalysis}


def _gap(
    trained: TrainedRun,
    task: str,
    head: Head,
    which: str,
    rows: Mapping[str, ScoredRows],
    seed: int,
) -> Gap:
    """Metrics of both splits, and by how much train is better."""
    metrics: dict[tuple[str, str], BootstrapEstimate] = {}
    for place, split in enumerate(SPLITS):
        logits = _logits(trained, task, rows[split])
        measured = _metrics(head, rows[split].targets, logits, seed + place)
        metrics |= {(name, split): value for name, value in measured.items()}
    gaps = {}
    for name in dict.fromkeys(name for name, _ in metrics):
        train, validation = metrics[name, "train"], metrics[name, "validation"]
        less_is_better = name == LOSS or head.less_is_better(name)
        gaps[name] = validation.minus(train) if less_is_better else train.minus(validation)
    manifest = trained.plan.manifest
    about = f"{', '.join(trained.plan.tasks)}; seed {manifest.seed}, {manifest.encoder.use}"
    return Gap(trained.run.name, about, which, trained.checkpoint.step, metrics, gaps)


def _logits(trained: TrainedRun, task: str, rows: ScoredRows) -> NDArray[np.float32]:
    """The logits (n, L), without dropout, as `emomtl eval` computes them."""
    from emomtl.inference.evaluator import require_finite

    logits = trained.evaluator.logits(trained.tokens(rows.texts, task), [task])[task]
    require_finite(task, logits, "these rows")
    return logits


def _metrics(
    head: Head, targets: NDArray[Any], logits: NDArray[np.float32], seed: int
) -> dict[str, BootstrapEstimate]:
    """The main metric, another headline metric, and the loss, each on bootstrap samples of the
    rows.
    """
    import torch

    probabilities = head.probabilities(logits)
    values = head.metrics(targets, probabilities)
    names = [head.main_metric, *head.headline_metrics(list(values))]
    samples = sample_rows(len(targets), RESAMPLES, seed)
    measured = {}
    for name in list(dict.fromkeys(names))[:METRICS]:
        on_samples = head.metric_on_samples(name, targets, probabilities, samples)
        measured[name] = BootstrapEstimate(values[name], on_samples)
    given, wanted = torch.from_numpy(logits), torch.from_numpy(targets)
    losses = np.array(
        [float(head.loss(given[i : i + 1], wanted[i : i + 1])) for i in range(len(targets))]
    )
    measured[LOSS] = BootstrapEstimate(float(losses.mean()), losses[samples].mean(axis=1))
    return measured


def _compared(gap: Gap, gaps: Sequence[Gap]) -> Gap:
    """With the differences from the first run's gap at the same checkpoint."""
    which = set(gap.which.split(", "))
    reference = next((one for one in gaps if which & set(one.which.split(", "))), None)
    if reference is None:
        return gap
    names = [name for name in gap.gaps if name in reference.gaps]
    differences = {name: gap.gaps[name].minus(reference.gaps[name]) for name in names}
    return replace(gap, differences=differences)


def _remarks(rows: Mapping[str, ScoredRows]) -> list[str]:
    """What was taken, and what the numbers do not say."""
    sizes = [f"{len(rows[s].targets):,} of {rows[s].available:,} {s} rows" for s in SPLITS]
    return [
        (
            f"{' and '.join(sizes)} with a label, as the run read them: those whose hash is lowest."
            " Dropout is off on both."
        ),
        (
            "A gap above 0 says that the run is better on train; `difference` is from the gap of"
            " the first run."
        ),
        (
            f"Intervals hold {LEVEL:.0%} of {RESAMPLES:,} samples of the rows, the same for every"
            " run; seeds are not in them."
        ),
        (
            "A checkpoint called best was chosen on validation, which makes its gap look a little"
            " smaller."
        ),
    ]


def _tables(task: str, gaps: Sequence[Gap], notes: Sequence[str]) -> list[Table]:
    """The runs, and a row for each metric, run and checkpoint."""
    rows: list[tuple[Cell, ...]] = []
    for name in dict.fromkeys(name for gap in gaps for name in gap.gaps):
        for gap in gaps:
            if name in gap.gaps:
                values = [gap.metrics[name, split].value for split in SPLITS]
                difference = difference_cells(gap.differences.get(name))
                which = (name, gap.run, gap.which, gap.step)
                rows.append((*which, *values, *estimate_cells(gap.gaps[name]), *difference))
    about = tuple(dict.fromkeys((gap.run, gap.about) for gap in gaps))
    title = f"Gap between train and validation: {task}"
    return [
        Table("Runs", ("run", "what it is"), about),
        Table(title, COLUMNS, tuple(rows), tuple(notes)),
    ]


def _gap_as_json(gap: Gap) -> dict[str, Any]:
    metrics: dict[str, dict[str, Any]] = {}
    for name, difference in gap.gaps.items():
        metrics[name] = {split: gap.metrics[name, split].as_json() for split in SPLITS}
        metrics[name]["gap"] = difference.as_json()
        if name in gap.differences:
            metrics[name]["difference"] = gap.differences[name].as_json()
    about = {"run": gap.run, "about": gap.about, "checkpoint": gap.which, "step": gap.step}
    return {**about, "figures": metrics}


def _figure(task: str, gaps: Sequence[Gap]) -> Any:
    """A panel a metric: its value on either split, with interval, of each checkpoint."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for gap in gaps for name in gap.gaps))
    labels = [f"{plain(gap.run)}\n{gap.which}" for gap in gaps]
    with drawing():
        size = (2.0 + 3.8 * len(names), 2.0 + 0.6 * len(labels))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for panel, name in zip(axes, names, strict=True):
            for number, split in enumerate(SPLITS):
                for place, gap in enumerate(gaps):
                    measured = gap.metrics.get((name, split), BootstrapEstimate(None))
                    if measured.value is None or measured.interval is None:
                        continue
                    value, (low, high) = measured.value, measured.interval
                    panel.errorbar(
                        [value],
                        [place + 0.16 * (2 * number - 1)],
                        xerr=[[max(value - low, 0.0)], [max(high - value, 0.0)]],
                        fmt=MARKERS[number],
                        capsize=3,
                        color=COLOURS[number],
                        label=split if place == 0 else None,
                    )
            panel.set_title(plain(name), parse_math=False)
        axes[0].set_yticks(range(len(labels)), labels, parse_math=False)
        axes[0].set_ylim(len(labels) - 0.5, -0.5)
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=2)
        title = f"Train and validation: {plain(task)}"
        figure.suptitle(title, parse_math=False, x=0.01, ha="left")
        return figure
