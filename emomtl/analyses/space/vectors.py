"""The same texts in the space of every run: pooled vectors, top predictions, and which texts are
taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.runs import (
    FirstRun,
    RunFolder,
    RunFolders,
    about_run,
    labelled_task,
    lowest_hashes,
    take,
)
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.analyses.space import SpaceAnalysis
    from emomtl.contracts.heads import Head
    from emomtl.data.corpus import CorpusSplit
    from emomtl.data.tokens import Tokens
    from emomtl.inference.evaluator import Evaluator
    from emomtl.inference.trained import TrainedRun


@dataclass(frozen=True)
class Texts:
    """The texts that every space holds, by their labels alone: `gold` (n,) has places in the
    taxonomy.

    They are the rows of the split with exactly one label; `rows` is how many rows the split has.
    """

    task: str
    split: str
    taxonomy: Taxonomy
    gold: NDArray[np.int64]
    rows: int


@dataclass(frozen=True)
class Space:
    """The vectors (n, W) of the texts in one encoder, and the places of its top labels (n,).

    An encoder without head has no top labels. `taught` has the groupings whose groups are the
    labels of another task of the run, with that task.
    """

    name: str
    about: str
    vectors: NDArray[np.float32]
    predicted: NDArray[np.int64] | None = None
    taught: Mapping[str, str] = field(default_factory=dict)


def read_spaces(runs: RunFolders, analysis: SpaceAnalysis) -> tuple[Texts, list[Space], list[str]]:
    """Encode the texts with each run: the texts, the spaces (pretrained encoders first), and notes.

    EmomtlError where runs do not share a task with the same labels, or read other texts for it.
    """
    task = runs.shared_task(analysis.task)
    first = FirstRun(task, analysis.split)
    shared: Texts | None = None
    spaces: list[Space] = []
    untrained: dict[tuple[Any, ...], Space] = {}
    notes: list[str] = []
    for run in runs:
        runs.say(f"{run.folder}: reading and encoding")
        trained = run.trained(analysis.checkpoint)
        _, taxonomy = labelled_task(trained, task)
        texts, gold, rows = _texts(run, trained, task, analysis, notes)
        first.require_same(run.folder, taxonomy.names, texts, gold)
        shared = shared or Texts(task, analysis.split, taxonomy, gold, rows)
        spaces.append(_space(trained, task, texts))
        if analysis.pretrained:
            _add_untrained(untrained, run, trained, task, texts)
    assert shared is not None
    return shared, _with_distinct_names([*untrained.values(), *spaces]), list(dict.fromkeys(notes))


def _texts(
    run: RunFolder, trained: TrainedRun, task: str, analysis: SpaceAnalysis, notes: list[str]
) -> tuple[CorpusSplit, NDArray[np.int64], int]:
    """The texts with exactly one label, at most `limit`; their labels; rows of the split."""
    data = run.read(trained, analysis.split, [task])
    notes += data.notes
    rows, texts = data.rows(task, analysis.split), data.corpus(task).splits[analysis.split]
    head = trained.plan.tasks[task].head
    labels = only_labels(head, head.decided(rows.targets))
    single = np.flatnonzero(labels >= 0)
    if len(single) < 3:
        found = f"{len(single)} of {len(rows):,} {analysis.split} rows have exactly one label"
        raise EmomtlError(Problem(f"tasks.{task}", found, "a space needs three texts at least"))
    chosen = single[lowest_hashes(texts, rows.index[single], analysis.limit, analysis.seed)]
    return take(texts, rows.index[chosen]), labels[chosen], len(rows)


def only_labels(head: Head, targets: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each row's label where it has exactly one, else -1: (n, ...) -> (n,).

    A row of which a label is unknown or soft has -1, too.
    """
    if targets.ndim == 1:
        return np.where(head.present(targets), targets, -1).astype(np.int64)
    hard = ((targets == 0) | (targets == 1)).all(axis=1)
    single = hard & ((targets == 1).sum(axis=1) == 1)
    return np.where(single, (targets == 1).argmax(axis=1), -1).astype(np.int64)


def _space(trained: TrainedRun, task: str, texts: CorpusSplit) -> Space:
    """The space of a run's checkpoint."""
    vectors, logits = _embed(trained.evaluator, trained.tokens(texts, task), [task])
    bound = trained.plan.tasks[task]
    predicted = bound.head.probabilities(logits[task]).argmax(axis=1)
    taught = {}
    assert bound.taxonomy is not None
    for other, other_task in trained.plan.tasks.items():
        for grouping in bound.taxonomy.groupings:
            names = set(other_task.taxonomy.names) if other_task.taxonomy else set()
            if other != task and names == set(grouping.names):
                taught[grouping.name] = other
    return Space(trained.run.name, about_run(trained), vectors, predicted, taught)


def _add_untrained(
    spaces: dict[tuple[Any, ...], Space],
    run: RunFolder,
    trained: TrainedRun,
    task: str,
    texts: CorpusSplit,
) -> None:
    """Add the space of the encoder from which a run began, once for each that differs."""
    from emomtl.compose import pretrained_choice
    from emomtl.data.tokens import tokenise
    from emomtl.model.encoder import load_encoder
    from emomtl.model.network import MultiTaskModel

    plan = trained.plan
    choice = pretrained_choice(plan.manifest, run.plugins(), plan.folder).for_task(task)
    reading = (choice.max_tokens, choice.truncation, choice.layers, plan.special_tokens)
    key = (choice.where, choice.revision, choice.pooling, *reading)
    if key in spaces:
        return
    encoder = load_encoder(choice, plan.special_tokens)
    model = MultiTaskModel(encoder.module, choice.pooling, {}, layers=choice.layers)
    tokens = tokenise(encoder.tokenizer, texts, choice.max_tokens, choice.truncation)
    evaluator = replace(trained.evaluator, model=model.to(trained.evaluator.device))
    vectors, _ = _embed(evaluator, tokens, [])
    spaces[key] = Space(f"pretrained {choice.name}", f"before training; {choice.name}", vectors)


def _embed(
    evaluator: Evaluator, tokens: Tokens, tasks: Sequence[str]
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """The pooled vectors (n, W), without features, and the logits of tasks; all of them finite."""
    from emomtl.inference.evaluator import require_finite

    vectors, logits = evaluator.embed(tokens, tasks)
    if not np.isfinite(vectors).all():
        remedy = "the run has diverged: take an earlier checkpoint"
        raise EmomtlError(Problem("RUN", "the encoder's vectors are not finite", remedy))
    for task, values in logits.items():
        require_finite(task, values, "these texts")
    return vectors, logits


def _with_distinct_names(spaces: Sequence[Space]) -> list[Space]:
    """Number spaces of one name, in the order in which they are given."""
    total, seen = Counter(space.name for space in spaces), Counter[str]()
    distinct = []
    for space in spaces:
        seen[space.name] += 1
        number = f" ({seen[space.name]})" if total[space.name] > 1 else ""
        distinct.append(replace(space, name=f"{space.name}{number}"))
    return distinct
