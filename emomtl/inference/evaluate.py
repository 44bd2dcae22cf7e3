"""Score a model on a split: each corpus is encoded once for all of its tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from emomtl.contracts.heads import Head, TokenHead, encoder_passes, prepare_fixed
from emomtl.data.corpus import Corpus, TaskData
from emomtl.data.reading import BadRows
from emomtl.data.tokens import Tokens
from emomtl.errors import EmomtlError, Problem
from emomtl.metrics.scoring import TaskScores, Tuned, score
from emomtl.model.device import arithmetic, memory, to_device
from emomtl.model.network import beside
from emomtl.model.parallel.ranks import ALONE, Ranks

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
    seen: Callable[[NDArray[np.int64], torch.Tensor], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The logits of every text for these tasks, (n, L) each; texts of like length share a batch. Leaves the mode as it was.

    `seen` is told each batch's texts (B,) and their pooled vectors (B, W).
    """
    was_training = model.training
    model.eval()
    order = np.argsort(tokens.lengths, kind="stable")
    parts: dict[str, list[NDArray[np.float32]]] = {task: [] for task in tasks}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        with arithmetic(device, precision):
            inputs = to_device(tokens.batch(rows), device)
            pooled = model.pooled(inputs, dict.fromkeys(tasks, len(rows))) if tasks else {}
            if seen is not None:
                seen(rows, next(iter(pooled.values())) if pooled else model.encode(inputs))
            for task, vectors in pooled.items():
                parts[task].append(model.logits(task, beside(vectors, tokens.beside(rows))).float().cpu().numpy())
        if advance is not None:
            advance(len(rows))
    model.train(was_training)
    found = {}
    for task, chunks in parts.items():
        together = np.concatenate(chunks) if chunks else np.zeros((0, 0), np.float32)
        found[task] = np.empty_like(together)
        found[task][order] = together
    return found


@torch.inference_mode()
def figures_of(
    model: MultiTaskModel,
    tokens: Tokens,
    task: str,
    head: TokenHead,
    device: str,
    precision: str,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """What a head that reads tokens gives for every text (n, L); what it makes of a text is the same every time."""
    assert model.vocabulary is not None
    was_training = model.training
    model.eval()
    order = np.argsort(tokens.lengths, kind="stable")
    found = np.zeros((len(order), len(head.outputs(None))), np.float32)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        inputs, targets = prepare_fixed(head, tokens.batch(rows), model.vocabulary)
        with arithmetic(device, precision):
            figures = model.token_outputs(task, to_device(inputs, device), to_device({task: targets}, device)[task])
        found[rows] = figures.float().cpu().numpy()
        if advance is not None:
            advance(len(rows))
    model.train(was_training)
    return found


def outputs_of(
    model: MultiTaskModel,
    heads: Mapping[str, Head],
    tokens: Tokens,
    device: str,
    precision: str,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """What these heads give for every text, (n, L) each: one encoder pass for all with a pooled vector, one for each other."""
    found: dict[str, NDArray[np.float32]] = {}
    for together in encoder_passes(heads, heads):
        head = heads[together[0]]
        if isinstance(head, TokenHead):
            found[together[0]] = figures_of(model, tokens, together[0], head, device, precision, batch_size, advance)
        else:
            found |= logits_of(model, tokens, together, device, precision, batch_size, advance)
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
    keep: dict[str, tuple[NDArray[Any], NDArray[Any]]] | None = None,
    ranks: Ranks = ALONE,
    tuned: Mapping[str, Tuned] | None = None,
) -> dict[str, TaskScores]:
    """Scores per task on a split; `tokens` are by (corpus, split). Tasks without rows there are left out.

    Into `keep` go the targets and the probabilities of every scored row, by task. Several processes share the batches; the
    first one scores them all, and tells the others the scores, but not what is kept. The tasks in `tuned` are also
    scored at tuned thresholds.
    """
    found: dict[str, TaskScores] = {}
    for corpus in data.corpora:
        tasks = [task for task in corpus.tasks if task in bound and len(corpus.rows.get((task, split), ()))]
        if tasks:
            heads = {task: bound[task].head for task in tasks}
            with memory(partial(_too_large, tasks, split, batch_size)):
                logits = _outputs(model, heads, tokens[corpus.name, split], device, precision, batch_size, advance, ranks)
            if not ranks.first:
                continue
            ways = tuned or {}
            found |= {task: _score(bound[task], corpus, split, logits[task], data, ways.get(task)) for task in tasks}
            if keep is not None:
                whole = [task for task in tasks if not data.unseen.get((task, split))]  # else targets have more labels
                keep |= {task: _answers(bound[task], corpus, task, split, logits[task]) for task in whole}
    if not ranks.first:
        return ranks.broadcast_object(found)
    if not found:
        raise EmomtlError(f"no task has rows in the split '{split}'", remedy="name another split, or a file for it")
    return ranks.broadcast_object({task: found[task] for task in bound if task in found})


def _outputs(
    model: MultiTaskModel,
    heads: Mapping[str, Head],
    tokens: Tokens,
    device: str,
    precision: str,
    batch_size: int,
    advance: Callable[[int], None] | None,
    ranks: Ranks,
) -> dict[str, NDArray[np.float32]]:
    """`outputs_of`, whole in the first process: each has every `size`-th batch, and batches are those of one process."""
    if ranks.world_size == 1:
        return outputs_of(model, heads, tokens, device, precision, batch_size, advance)
    order = np.argsort(tokens.lengths, kind="stable")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    mine = np.concatenate([order[:0], *batches[ranks.rank :: ranks.world_size]])
    read = mine if len(mine) else order[:1]  # a process without a batch still has to know how many numbers a text gets
    found = {}
    for task, part in outputs_of(model, heads, tokens.only(read), device, precision, batch_size, advance).items():
        whole = np.zeros((len(order), part.shape[1]), part.dtype)
        whole[mine] = part[: len(mine)]
        found[task] = ranks.reduce(whole)
    return found


def _too_large(tasks: Sequence[str], split: str, batch_size: int) -> Problem:
    """What is said where a batch of a split does not fit into the device's memory."""
    found = f"the device ran out of memory while {', '.join(tasks)} were scored on {split}, {batch_size} texts at a time"
    return Problem("eval.batch_size", found, "lower it; what training kept is good")


def require_finite(task: str, logits: NDArray[Any], rows: str) -> None:
    """EmomtlError where a model answers `rows` with NaN or infinities: nothing may be made of such answers."""
    if not np.isfinite(logits).all():
        remedy = "the run has diverged: lower train.lr and go on from an earlier checkpoint, or start anew"
        raise EmomtlError(Problem(f"tasks.{task}", f"the model's answers on {rows} are not finite", remedy))


def _score(bound: BoundTask, corpus: Corpus, split: str, logits: NDArray[Any], data: TaskData, tuned: Tuned | None) -> TaskScores:
    task = bound.name
    rows = corpus.rows[task, split]
    require_finite(task, logits[rows.index], split)
    unseen, bad = data.unseen.get((task, split), ()), _bad(data, task, split)
    return score(bound.head, data.taxonomies[task], rows.targets, logits[rows.index], unseen, bad, tuned)


def _bad(data: TaskData, task: str, split: str) -> BadRows:
    """The skipped rows of a split; one that did not read, of a source without splits, may be of any and counts in each."""
    found = data.bad.get((task, split), BadRows())
    anywhere = data.bad.get((task, "all"), BadRows())
    return BadRows(found.unread + anywhere.unread, found.unfit)


def _answers(bound: BoundTask, corpus: Corpus, task: str, split: str, logits: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Targets and probabilities of the rows that have a target, as they are scored."""
    rows = corpus.rows[task, split]
    known = bound.head.present(rows.targets)
    return bound.head.decided(rows.targets[known]), bound.head.probabilities(logits[rows.index][known])
