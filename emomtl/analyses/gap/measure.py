"""Figures of train and validation of every run, without dropout, and the gap between them with intervals over rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.analyses.space.vectors import Question, shared_task
from emomtl.errors import EmomtlError, Problem
from emomtl.metrics.bootstrap import RESAMPLES, BootstrapEstimate, sample_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.data.corpus import CorpusSplit
    from emomtl.inference.opened import OpenedRun
    from emomtl.inference.trained import TrainedRun
    from emomtl.plugins.discovery import Plugins

SPLITS = ("train", "validation")
LOSS = "loss"
MEANS = ("macro_f1", "micro_f1")
"""Figures that are shown beside the main one, where a head has them."""


@dataclass(frozen=True)
class Rows:
    """Rows of one split that are scored: texts with their targets (n, ...); `of` had a label."""

    split: CorpusSplit
    targets: NDArray[Any]
    of: int

    def same_as(self, other: Rows) -> bool:
        """Whether both are the same texts with the same targets."""
        import numpy as np

        same = list(self.split.texts) == list(other.split.texts) and self.split.pairs == other.split.pairs
        nan = self.targets.dtype.kind == "f"
        return same and np.array_equal(self.targets, other.targets, equal_nan=nan)


@dataclass(frozen=True)
class Gap:
    """One checkpoint of one run: figures by (name, split), gaps by name, and their differences from the first run's.

    A gap above zero says that the model is better on train, whether more or less of the figure is better.
    """

    run: str
    about: str
    which: str
    step: int
    figures: Mapping[tuple[str, str], BootstrapEstimate]
    gaps: Mapping[str, BootstrapEstimate]
    differences: Mapping[str, BootstrapEstimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """Everything that one call of `emomtl analyse gap` found; `rows` are the numbers of rows by split of the first run."""

    task: str
    rows: Mapping[str, int]
    of: Mapping[str, int]
    seed: int
    gaps: Sequence[Gap]
    notes: Sequence[str]


def measure(
    runs: Sequence[Path], discover: Callable[[], Plugins], question: Question, limit: int | None, say: Callable[[str], None]
) -> Measured:
    """Score the best and the last checkpoint of each run on rows of train and validation.

    Rows of train are those that the run's manifest takes, as many as validation has (or `limit` of both): those whose hash is
    lowest. No entry is added to any run's scores. EmomtlError where the runs share no task, or read other validation rows.
    """
    task = shared_task(runs, question.task)
    notes: list[str] = []
    first: dict[str, Rows] = {}
    found: list[Gap] = []
    for place, folder in enumerate(runs):
        say(f"{folder}: reading")
        checkpoints = _checkpoints(folder, discover, question.device)
        rows, head = _rows(checkpoints[0][1], task, question, limit, notes)
        if not first:
            first = rows
        elif not rows["validation"].same_as(first["validation"]):
            said = f"its validation rows of '{task}' are not those of {runs[0]}"
            raise EmomtlError(Problem(str(folder), said, f"name one place for all runs: --source {task}=PATH"))
        elif not rows["train"].same_as(first["train"]):
            notes.append(f"{folder.name} was trained on other rows than {runs[0].name}: train is paired by nothing")
        for which, trained in checkpoints:
            say(f"{folder}: {which}, {sum(len(one.targets) for one in rows.values()):,} rows")
            one = _gap(trained, task, head, which, rows, question.seed)
            found.append(replace(one, differences=_differences(one, found if place else [])))
    sizes = {split: len(one.targets) for split, one in first.items()}
    return Measured(
        task, sizes, {split: one.of for split, one in first.items()}, question.seed, found, list(dict.fromkeys(notes))
    )


def _checkpoints(folder: Path, discover: Callable[[], Plugins], device: str) -> list[tuple[str, TrainedRun]]:
    """The best and the last checkpoint, once where they are the same."""
    from emomtl.inference.trained import open_trained

    best, last = (open_trained(folder, which, discover(), device) for which in ("best", "last"))
    if best.checkpoint.path == last.checkpoint.path:
        return [("best, last", best)]
    return [("best", best), ("last", last)]


def _rows(trained: OpenedRun, task: str, question: Question, limit: int | None, notes: list[str]) -> tuple[dict[str, Rows], Head]:
    """The rows of both splits that are scored, and the task's head."""
    import numpy as np

    from emomtl.contracts.sources import stable_fraction

    trained.tasks(question.sources)
    head = trained.tasks([task])[task].head
    if head.answers == "nothing":
        raise EmomtlError(Problem("--task", f"'{task}' has no answer for a text", "name a task with labels or numbers"))
    data = trained.read_as_trained(task, question.sources, question.allow_changed)
    notes += data.notes
    head = head.fitted(data.rows(task, "train").targets, data.taxonomies[task])
    if trained.plan.features:
        notes.append("features beside the encoder are those of any text: they know the training rows that they learned from")
    found: dict[str, Rows] = {}
    for split in reversed(SPLITS):
        rows, held = data.rows(task, split), data.corpus(task).splits[split]
        known = np.flatnonzero(head.present(rows.targets))
        most = min(limit or len(known), len(found["validation"].targets) if found else len(known))
        hashes = np.array([stable_fraction(held.texts[i], question.seed) for i in rows.index[known]])
        taken = known[np.sort(np.argsort(hashes, kind="stable")[:most])]
        at = rows.index[taken]
        pairs = [held.pairs[i] for i in at] if held.pairs is not None else None
        part = replace(held, keys=held.keys[at], texts=[held.texts[i] for i in at], pairs=pairs)
        found[split] = Rows(part, rows.targets[taken], len(known))
    return {split: found[split] for split in SPLITS}, head


def _gap(trained: TrainedRun, task: str, head: Head, which: str, rows: Mapping[str, Rows], seed: int) -> Gap:
    figures = {
        (name, split): figure
        for place, split in enumerate(SPLITS)
        for name, figure in _figures(head, rows[split].targets, _logits(trained, task, rows[split]), seed + place).items()
    }
    names = [name for name, split in figures if split == "train"]
    gaps = {name: _between(head, name, figures[name, "train"], figures[name, "validation"]) for name in names}
    manifest = trained.plan.manifest
    about = f"{', '.join(trained.plan.tasks)}; seed {manifest.seed}, {manifest.encoder.use}"
    return Gap(trained.run.name, about, which, trained.checkpoint.step, figures, gaps)


def _between(head: Head, name: str, train: BootstrapEstimate, validation: BootstrapEstimate) -> BootstrapEstimate:
    """By how much train is better."""
    return validation.minus(train) if less_is_better(head, name) else train.minus(validation)


def less_is_better(head: Head, name: str) -> bool:
    """Whether a figure is an error."""
    return name == LOSS or head.less_is_better(name)


def _logits(trained: TrainedRun, task: str, rows: Rows) -> NDArray[np.float32]:
    """The logits (n, L), without dropout, as `emomtl eval` computes them."""
    from emomtl.inference.evaluator import require_finite

    logits = trained.evaluator.logits(trained.tokens(rows.split, task), [task])[task]
    require_finite(task, logits, "these rows")
    return logits


def _figures(head: Head, targets: NDArray[Any], logits: NDArray[np.float32], seed: int) -> dict[str, BootstrapEstimate]:
    """The main figure, macro and micro F1 where the head has them, and the loss, each on samples of the rows."""
    import numpy as np
    import torch

    probabilities = head.probabilities(logits)
    every = head.metrics(targets, probabilities)
    names = [name for name in dict.fromkeys([head.main_metric, *MEANS]) if name in every]
    samples = sample_rows(len(targets), RESAMPLES, seed)
    drawn = [[head.metric(name, targets[some], probabilities[some]) for name in names] for some in samples]
    by_name = dict(zip(names, np.array(drawn, np.float64).T, strict=True))
    found = {name: BootstrapEstimate(every[name], by_name[name]) for name in names}
    given, wanted = torch.from_numpy(logits), torch.from_numpy(targets)
    losses = np.array([float(head.loss(given[i : i + 1], wanted[i : i + 1])) for i in range(len(targets))])
    return {**found, LOSS: BootstrapEstimate(float(losses.mean()), losses[samples].mean(axis=1))}


def _differences(one: Gap, before: Sequence[Gap]) -> dict[str, BootstrapEstimate]:
    """The gaps less those of the first run at the same checkpoint; none for the first run, before which there is nothing."""
    wanted = set(one.which.split(", "))
    reference = next((gap for gap in before if wanted & set(gap.which.split(", "))), None)
    if reference is None:
        return {}
    return {name: gap.minus(reference.gaps[name]) for name, gap in one.gaps.items() if name in reference.gaps}
