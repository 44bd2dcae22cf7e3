"""Score a model on a split: each corpus is encoded once for all of its tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from emomtl.data.corpus import Corpus, TaskData
from emomtl.data.tokens import Tokens
from emomtl.errors import EmomtlError, Problem
from emomtl.model.device import arithmetic, to_device
from emomtl.model.network import beside
from emomtl.scoring import TaskScores, score

if TYPE_CHECKING:
    from emomtl.compose import BoundTask
    from emomtl.model.network import MultiTaskModel


@torch.inference_mode()
def logits_of(
    model: MultiTaskModel,
    tokens: Tokens,
    tasks: Sequence[str],
    device: str,
    precision: str,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The logits of every text for these tasks, (n, L) each; texts of like length share a batch. Leaves the mode as it was."""
    was_training = model.training
    model.eval()
    order = np.argsort(tokens.lengths, kind="stable")
    parts: dict[str, list[NDArray[np.float32]]] = {task: [] for task in tasks}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        with arithmetic(device, precision):
            pooled = beside(model.encode(to_device(tokens.batch(rows), device)), tokens.beside(rows))
            for task in tasks:
                parts[task].append(model.logits(task, pooled).float().cpu().numpy())
        if advance is not None:
            advance(len(rows))
    model.train(was_training)
    found = {}
    for task, chunks in parts.items():
        together = np.concatenate(chunks) if chunks else np.zeros((0, 0), np.float32)
        found[task] = np.empty_like(together)
        found[task][order] = together
    return found


def evaluate(
    model: MultiTaskModel,
    bound: Mapping[str, BoundTask],
    data: TaskData,
    tokens: Mapping[tuple[str, str], Tokens],
    split: str,
    device: str,
    precision: str,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
) -> dict[str, TaskScores]:
    """Scores per task on a split; `tokens` are by (corpus, split). Tasks without rows there are left out."""
    found: dict[str, TaskScores] = {}
    for corpus in data.corpora:
        tasks = [task for task in corpus.tasks if task in bound and len(corpus.rows.get((task, split), ()))]
        if tasks:
            logits = logits_of(model, tokens[corpus.name, split], tasks, device, precision, batch_size, advance)
            found |= {task: _score(bound[task], corpus, task, split, logits[task], data) for task in tasks}
    if not found:
        raise EmomtlError(f"no task has rows in the split '{split}'", remedy="name another split, or a file for it")
    return {task: found[task] for task in bound if task in found}


def _score(bound: BoundTask, corpus: Corpus, task: str, split: str, logits: NDArray[Any], data: TaskData) -> TaskScores:
    rows = corpus.rows[task, split]
    if not np.isfinite(logits[rows.index]).all():
        remedy = "the run has diverged: lower train.lr and go on from an earlier checkpoint, or start anew"
        raise EmomtlError(Problem(f"tasks.{task}", f"the model's answers on {split} are not finite", remedy))
    return score(bound.head, data.taxonomies[task], rows.targets, logits[rows.index])
