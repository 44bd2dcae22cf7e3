"""Whether the tasks of a run pull its encoder apart: cosines of their gradients at the best checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from emomtl.analyses.affinity.probe import WHOLE, probe
from emomtl.contracts.analysis import Cell, Picture, Table
from emomtl.metrics.intervals import mean_interval
from emomtl.report.cells import plain
from emomtl.report.drawing import drawing

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from torch import Tensor

    from emomtl.analyses.sections.reading import Read

BATCHES = 12
"""Measurements, each on another batch of every task."""

ABOUT = (
    "The cosine of two tasks' gradients on the parameters that they share, at the best checkpoint, without dropout: below 0 a "
    "step for one task is a step against the other. Losses are those of the heads alone."
)


@dataclass(frozen=True)
class Conflicts:
    """The cosines (S, T, T) of the gradients of T tasks on S batches, of one run."""

    run: str
    tasks: tuple[str, ...]
    cosines: NDArray[np.float64]


@dataclass(frozen=True)
class _Batch:
    """Some texts of a corpus, with the targets of the tasks that have them all."""

    inputs: Mapping[str, NDArray[np.int64]]
    features: NDArray[np.float32] | None
    targets: Mapping[str, NDArray[Any]]


def conflicts(read: Read, name: str) -> Conflicts | None:
    """Measure a run on batches of the split, of the size in training; None with fewer than two tasks that read pooled vectors.

    Tasks of one corpus are asked about the same texts as long as they share any. EmomtlError where the tasks share no parameter
    that is trained.
    """
    import numpy as np

    groups = list(_groups(read))
    tasks = [task for task in read.answers if any(task in index for _, index in groups)]
    if len(tasks) < 2:
        return None
    parameters = {key: one for key, one in read.trained.model.encoder.named_parameters() if one.requires_grad}
    found = []
    for number in range(BATCHES):
        batches = [_batch(read, corpus, index, number) for corpus, index in groups]
        found.append(probe(partial(_losses, read, batches, tasks), parameters).cosines[WHOLE])
    return Conflicts(name, tuple(tasks), np.stack(found))


def _groups(read: Read) -> Iterator[tuple[str, dict[str, NDArray[np.int64]]]]:
    """Corpora with tasks that are asked about the same texts, and the rows that each of these may be asked about."""
    import numpy as np

    from emomtl.contracts.heads import TokenHead

    for corpus in read.data.corpora:
        rows = {}
        for task in corpus.tasks:
            head = read.trained.plan.tasks[task].head
            if task in read.answers and not isinstance(head, TokenHead):
                own = corpus.rows[task, read.split]
                rows[task] = own.index[head.present(own.targets)]
        if not rows:
            continue
        shared = next(iter(rows.values()))
        for one in rows.values():
            shared = np.intersect1d(shared, one)
        if len(shared):
            yield corpus.name, dict.fromkeys(rows, shared)
        else:
            yield from ((corpus.name, {task: one}) for task, one in rows.items())


def _batch(read: Read, name: str, index: Mapping[str, NDArray[np.int64]], number: int) -> _Batch:
    """Batch `number` of a group of tasks: the same one for a run's seed."""
    import numpy as np

    from emomtl.seeds import generator

    manifest = read.trained.plan.manifest
    choice = next(iter(index.values()))
    size = min(len(choice), manifest.train.batch_size)
    chosen = np.sort(generator(manifest.seed, "conflicts", next(iter(index)), number).choice(choice, size, replace=False))
    corpus = next(one for one in read.data.corpora if one.name == name)
    targets = {}
    for task in index:
        rows = corpus.rows[task, read.split]
        targets[task] = rows.targets[np.searchsorted(rows.index, chosen)]
    tokens = read.tokens[name, read.split]
    return _Batch(tokens.batch(chosen), tokens.beside(chosen), targets)


def _losses(read: Read, batches: Sequence[_Batch], tasks: Sequence[str]) -> dict[str, Tensor]:
    """The loss of each task's head, in the order of the tasks."""
    from emomtl.model.device import to_device
    from emomtl.model.network import beside

    trained, found = read.trained, {}
    device = trained.evaluator.device
    for batch in batches:
        inputs, targets = to_device(batch.inputs, device), to_device(batch.targets, device)
        pooled = trained.model.pooled(inputs, {task: len(one) for task, one in targets.items()})
        for task, vectors in pooled.items():
            logits = trained.model.logits(task, beside(vectors, batch.features))
            found[task] = read.heads[task].loss(logits, targets[task])
    return {task: found[task] for task in tasks}


def conflict_table(measured: Sequence[Conflicts]) -> Table:
    """A row for each run and pair of tasks: mean, spread and the share of batches whose gradients conflict."""
    import numpy as np

    rows: list[tuple[Cell, ...]] = []
    for one in measured:
        for i, task in enumerate(one.tasks):
            for j in range(i + 1, len(one.tasks)):
                values = one.cosines[:, i, j]
                found, known = mean_interval(values), values[~np.isnan(values)]
                share = float((known < 0).mean()) if len(known) else None
                rows.append((one.run, task, one.tasks[j], found.mean, found.sd, found.low, found.high, share))
    columns = ("run", "task", "other task", "mean cosine", "standard deviation", "low", "high", "share in conflict")
    note = (
        f"{BATCHES} batches of the size in training. low, high: 95% interval of the mean over batches, for this checkpoint alone."
    )
    return Table("Cosines of gradients", columns, tuple(rows), (note,))


def conflict_picture(measured: Sequence[Conflicts]) -> Picture:
    """A heat map for each run, with the mean cosine and the share of batches in conflict in each cell."""
    from matplotlib.figure import Figure

    widths = [1.3 * len(one.tasks) + 2.2 for one in measured]
    with drawing(**{"axes.grid": False}):
        figure = Figure(figsize=(sum(widths), max(widths)), layout="constrained")
        panels = figure.subplots(1, len(measured), squeeze=False, width_ratios=widths)[0]
        for panel, one in zip(panels, measured, strict=True):
            _heat(panel, one)
    return Picture("Mean cosine of the tasks' gradients; in brackets the share of batches in conflict", "conflicts", figure)


def _heat(panel: Axes, one: Conflicts) -> None:
    """Cells as shapes, not as an image: the page's policy lets no image in."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice", category=RuntimeWarning)
        mean = np.nanmean(one.cosines, axis=0)
    np.fill_diagonal(mean, np.nan)
    size = len(one.tasks)
    panel.pcolormesh(np.ma.masked_invalid(mean), cmap="PuOr", vmin=-1, vmax=1, edgecolors="#E3E3E3", linewidth=0.5)
    names = [plain(task) for task in one.tasks]
    panel.set_xticks(np.arange(size) + 0.5, names, rotation=30, ha="right", parse_math=False)
    panel.set_yticks(np.arange(size) + 0.5, names, parse_math=False)
    panel.invert_yaxis()
    panel.set_aspect("equal")
    panel.set_title(plain(one.run)[:60], parse_math=False)
    for (row, column), value in np.ndenumerate(mean):
        if not np.isnan(value):
            against = (one.cosines[:, row, column] < 0).mean()
            colour = "white" if abs(value) > 0.7 else "black"
            panel.text(column + 0.5, row + 0.5, f"{value:+.2f}\n({against:.0%})", ha="center", va="center", color=colour)
