"""`emomtl analyse conflicts`: do the tasks of a run pull its encoder apart?"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from emomtl.analyses.affinity.probe import WHOLE, probe
from emomtl.analyses.runs import CHECKPOINT, LOOK_AT_TEST, SPLIT, option
from emomtl.contracts.analysis import Analysis, Cell, Picture, Result, Table
from emomtl.contracts.hookspecs import hookimpl
from emomtl.errors import EmomtlError
from emomtl.metrics.intervals import mean_interval
from emomtl.report.cells import plain
from emomtl.report.drawing import drawing
from emomtl.report.heat_map import HeatMap, draw_heat_map

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from emomtl.analyses.runs import RunFolder, RunFolders
    from emomtl.contracts.heads import Head
    from emomtl.data.corpus import Corpus, TaskData
    from emomtl.data.tokens import Tokens
    from emomtl.inference.trained import TrainedRun

BATCHES = 12
"""Measurements, each on another batch of every task."""

COLUMNS = (
    *("run", "task", "other task", "mean cosine", "standard deviation", "low", "high"),
    "share in conflict",
)


@dataclass(frozen=True)
class MeasuredCosines:
    """The cosines (S, T, T) of the gradients of T tasks on S batches, of one run."""

    run: str
    tasks: tuple[str, ...]
    cosines: NDArray[np.float64]

    def mean(self) -> NDArray[np.float64]:
        """The mean over batches (T, T); NaN on the diagonal and where it is undefined."""
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Mean of empty slice", category=RuntimeWarning
            )
            mean = np.asarray(np.nanmean(self.cosines, axis=0))
        np.fill_diagonal(mean, np.nan)
        return mean


@dataclass(frozen=True)
class ConflictsAnalysis(Analysis):
    """Cosines of the gradients of a run's tasks on the parameters that they share, without dropout:
    below 0 a step for one task is a step against the other.
    """

    split: str = option("validation", SPLIT)
    checkpoint: str = option("best", CHECKPOINT)

    report_options: ClassVar = {}

    def run(self, runs: RunFolders) -> Result:
        """Measure each run that has two tasks which share parameters; of the others a note says
        why.
        """
        measured, notes = [], []
        for run in runs:
            runs.say(f"{run.folder}: gradients")
            try:
                cosines = self._measure(run)
            except EmomtlError as error:
                notes.append(f"{run.name}: {error}")
                continue
            if cosines is not None:
                measured.append(cosines)
        if not measured and not notes:
            return Result("Gradient conflicts")
        if self.split == "test":
            notes.append(LOOK_AT_TEST)
        about = (
            "The cosine of two tasks' gradients on the parameters that they share, without "
            "dropout: below 0 a step for one task is a step against the other. Losses are those of "
            "the heads alone."
        )
        tables = [_table(measured)] if measured else []
        pictures = [_picture(measured)] if measured else []
        return Result("Gradient conflicts", tables, pictures, about=about, notes=notes)

    def _measure(self, run: RunFolder) -> MeasuredCosines | None:
        """Cosines on batches of the split, of the size in training; None with fewer than two tasks.

        EmomtlError where the tasks share no parameter that is trained.
        """
        trained = run.trained(self.checkpoint)
        data = run.read(trained, self.split)
        heads = {name: bound.head for name, bound in trained.plan.tasks.items()}
        for task, head in heads.items():
            if head.needs_rows:
                rows = run.read_training(trained, task).rows(task, "train")
                heads[task] = head.fitted(rows.targets, data.taxonomies[task])
        groups = list(_groups(data, heads, self.split))
        with_rows = {task for _, index in groups for task in index}
        tasks = [task for task in heads if task in with_rows]
        if len(tasks) < 2:
            return None
        encoder = trained.model.encoder.named_parameters()
        parameters = {name: weight for name, weight in encoder if weight.requires_grad}
        tokens = trained.corpus_tokens(data)
        cosines = []
        for number in range(BATCHES):
            batches = []
            for corpus, index in groups:
                of_corpus = tokens[corpus.name, self.split]
                batches.append(_batch(trained, corpus, self.split, index, of_corpus, number))
            losses = partial(_losses, trained, heads, batches, tasks)
            cosines.append(probe(losses, parameters).cosines[WHOLE])
        return MeasuredCosines(run.name, tuple(tasks), np.stack(cosines))


@hookimpl
def emomtl_analyses() -> dict[str, type[Any]]:
    """Offer `conflicts`."""
    return {"conflicts": ConflictsAnalysis}


@dataclass(frozen=True)
class _Batch:
    """Some texts of a corpus, with the targets of the tasks that have them all."""

    inputs: Mapping[str, NDArray[np.int64]]
    features: NDArray[np.float32] | None
    targets: Mapping[str, NDArray[Any]]


def _groups(
    data: TaskData, heads: Mapping[str, Head], split: str
) -> Iterator[tuple[Corpus, dict[str, NDArray[np.int64]]]]:
    """Corpora with tasks that are asked about the same texts, and the rows that may be taken of
    each.

    Tasks of one corpus are asked about the same texts as long as they share any.
    """
    from emomtl.contracts.heads import TokenHead

    for corpus in data.corpora:
        rows = {}
        for task in corpus.tasks:
            of_task = corpus.rows.get((task, split))
            if of_task is not None and len(of_task) and not isinstance(heads[task], TokenHead):
                rows[task] = of_task.index[heads[task].present(of_task.targets)]
        if not rows:
            continue
        shared = next(iter(rows.values()))
        for index in rows.values():
            shared = np.intersect1d(shared, index)
        if len(shared):
            yield corpus, dict.fromkeys(rows, shared)
        else:
            yield from ((corpus, {task: index}) for task, index in rows.items())


def _batch(
    trained: TrainedRun,
    corpus: Corpus,
    split: str,
    index: Mapping[str, NDArray[np.int64]],
    tokens: Tokens,
    number: int,
) -> _Batch:
    """Batch `number` of a group of tasks: the same one for a run's seed."""
    from emomtl.seeds import generator

    manifest = trained.plan.manifest
    first, rows = next(iter(index.items()))
    size = min(len(rows), manifest.train.batch_size)
    draw = generator(manifest.seed, "conflicts", first, number)
    chosen = np.sort(draw.choice(rows, size, replace=False))
    targets = {}
    for task in index:
        of_task = corpus.rows[task, split]
        targets[task] = of_task.targets[np.searchsorted(of_task.index, chosen)]
    return _Batch(tokens.batch(chosen), tokens.beside(chosen), targets)


def _losses(
    trained: TrainedRun, heads: Mapping[str, Head], batches: Sequence[_Batch], tasks: Sequence[str]
) -> dict[str, Tensor]:
    """The loss of each task's head, in the order of the tasks."""
    from emomtl.model.device import to_device
    from emomtl.model.network import beside

    losses, device = {}, trained.evaluator.device
    for batch in batches:
        inputs, targets = to_device(batch.inputs, device), to_device(batch.targets, device)
        sizes = {task: len(values) for task, values in targets.items()}
        for task, vectors in trained.model.pooled(inputs, sizes).items():
            logits = trained.model.logits(task, beside(vectors, batch.features))
            losses[task] = heads[task].loss(logits, targets[task])
    return {task: losses[task] for task in tasks}


def _table(measured: Sequence[MeasuredCosines]) -> Table:
    """A row for each run and pair of tasks: mean, spread, and the share of batches in conflict."""
    rows: list[tuple[Cell, ...]] = []
    for one in measured:
        for i, j in zip(*np.triu_indices(len(one.tasks), 1), strict=True):
            values = one.cosines[:, i, j]
            over, known = mean_interval(values), values[~np.isnan(values)]
            share = float((known < 0).mean()) if len(known) else None
            numbers = (over.mean, over.sd, over.low, over.high, share)
            rows.append((one.run, one.tasks[i], one.tasks[j], *numbers))
    note = (
        f"{BATCHES} batches of the size in training. low, high: 95% interval of the mean over"
        " batches, for this checkpoint alone."
    )
    return Table("Cosines of gradients", COLUMNS, tuple(rows), (note,))


def _picture(measured: Sequence[MeasuredCosines]) -> Picture:
    """A heat map for each run, with mean cosine and share of batches in conflict in each cell."""
    from matplotlib.figure import Figure

    widths = [1.3 * len(one.tasks) + 2.2 for one in measured]
    with drawing(**{"axes.grid": False}):
        figure = Figure(figsize=(sum(widths), max(widths)), layout="constrained")
        panels = figure.subplots(1, len(measured), squeeze=False, width_ratios=widths)[0]
        for panel, one in zip(panels, measured, strict=True):
            draw_heat_map(figure, panel, _heat_map(one))
            panel.set_title(plain(one.run)[:60], parse_math=False)
    caption = "Mean cosine of the tasks' gradients; in brackets the share of batches in conflict"
    return Picture(caption, "conflicts", figure)


def _heat_map(one: MeasuredCosines) -> HeatMap:
    mean = one.mean()

    def cell_text(row: int, column: int) -> str:
        conflict = (one.cosines[:, row, column] < 0).mean()
        return f"{mean[row, column]:+.2f}\n({conflict:.0%})"

    def hover_text(row: int, column: int) -> str:
        return f"{one.tasks[row]} and {one.tasks[column]}: {mean[row, column]:+.3f}"

    names = (one.tasks, one.tasks)
    key = "cosine, in hundredths"
    return HeatMap(mean, names, 1.0, cell_text, hover_text, key, diverging=True)
