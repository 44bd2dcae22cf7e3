"""The one evaluator: a model's outputs for texts, and the predictions and scores of a split.

Training's validation, `eval`, `predict` and the analyses all use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from emomtl.contracts.heads import Head, TokenHead, encoder_passes, prepare_fixed
from emomtl.data.corpus import TaskData, TaskRows
from emomtl.data.reading import BadRows
from emomtl.data.tokens import Tokens
from emomtl.errors import EmomtlError, Problem
from emomtl.metrics.scoring import TaskScores, Tuned, score
from emomtl.model.device import arithmetic, memory, to_device
from emomtl.model.network import MultiTaskModel, beside
from emomtl.model.parallel.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from emomtl.compose import BoundTask

Outputs = dict[str, NDArray[np.float32]]
"""By task what its head gives for each text, (n, L): logits, or the sums of a head over tokens."""

Predictions = tuple[NDArray[Any], NDArray[Any]]
"""Targets (n, ...) and probabilities (n, L) of the rows with a known target."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a split by task, and its predictions.

    A task with labels that the model does not have is scored and has no predictions. Of several
    processes only the first has predictions.
    """

    scores: dict[str, TaskScores]
    predictions: dict[str, Predictions]


@dataclass(frozen=True)
class Evaluator:
    """A model with the device, the precision and the batch size with which it answers.

    Texts of similar length share a batch. Dropout is off, and no gradients are computed. With
    several processes (`ranks`) `evaluate` is called by all of them, and each encodes its share of
    the batches.
    """

    model: MultiTaskModel
    device: str
    precision: str
    batch_size: int
    ranks: Ranks = ALONE

    def evaluate(
        self,
        tasks: Mapping[str, BoundTask],
        data: TaskData,
        tokens: Mapping[tuple[str, str], Tokens],
        split: str,
        tuned: Mapping[str, Tuned] | None = None,
    ) -> Evaluation:
        """Score the tasks that have rows in a split; `tokens` are those of each (corpus, split).

        Tasks in `tuned` are also scored at tuned thresholds. EmomtlError where no task has rows,
        where a batch does not fit into memory, or where an output is not finite.
        """
        scores: dict[str, TaskScores] = {}
        predictions: dict[str, Predictions] = {}
        for corpus in data.corpora:
            heads: dict[str, Head] = {}
            for name in corpus.tasks:
                if name in tasks and len(corpus.rows.get((name, split), ())):
                    heads[name] = tasks[name].head
            if not heads:
                continue
            with memory(partial(_out_of_memory, list(heads), split, self.batch_size)):
                outputs = self._gathered_outputs(heads, tokens[corpus.name, split])
            if not self.ranks.first:  # only it has the outputs
                continue
            for name, head in heads.items():
                rows = corpus.rows[name, split]
                logits = outputs[name][rows.index]
                require_finite(name, logits, split)
                unseen, bad = data.unseen.get((name, split), ()), _bad_rows(data, name, split)
                scored = (data.taxonomies[name], rows.targets, logits, unseen, bad)
                scores[name] = score(head, *scored, (tuned or {}).get(name))
                if not unseen:  # otherwise the targets have more labels than the probabilities
                    predictions[name] = _predictions(head, rows, logits)
        if self.ranks.first and not scores:
            finding = f"no task has rows in the split '{split}'"
            raise EmomtlError(finding, remedy="name another split, or a file for it")
        in_order = {name: scores[name] for name in tasks if name in scores}
        return Evaluation(self.ranks.broadcast_object(in_order), predictions)

    def outputs(self, heads: Mapping[str, Head], tokens: Tokens) -> Outputs:
        """What heads give for every text (n, L): one pass for all that read a pooled vector.

        A head over tokens has a pass of its own.
        """
        outputs: Outputs = {}
        for names in encoder_passes(heads, heads):
            head = heads[names[0]]
            if isinstance(head, TokenHead):
                outputs[names[0]] = self._token_outputs(names[0], head, tokens)
            else:
                outputs |= self.logits(tokens, names)
        return outputs

    def logits(self, tokens: Tokens, tasks: Sequence[str]) -> Outputs:
        """The logits (n, L) of each task whose head reads a pooled vector, for every text."""
        return self._encode(tokens, tasks, with_vectors=False)[1]

    def embed(
        self, tokens: Tokens, tasks: Sequence[str] = ()
    ) -> tuple[NDArray[np.float32], Outputs]:
        """The pooled vectors (n, W) of all texts, without features, and the logits of tasks.

        Both come from one pass of the encoder. Where the encoder has parts that are one task's own,
        the vectors are those of the first task.
        """
        return self._encode(tokens, tasks, with_vectors=True)

    @torch.inference_mode()
    def _encode(
        self, tokens: Tokens, tasks: Sequence[str], with_vectors: bool
    ) -> tuple[NDArray[np.float32], Outputs]:
        """See `embed`; the vectors have no rows unless they are wanted."""
        vectors: list[torch.Tensor] = []
        logits: dict[str, list[torch.Tensor]] = {task: [] for task in tasks}
        order = _by_length(tokens)
        with self._scoring(), arithmetic(self.device, self.precision):
            for rows in self._batches(order):
                inputs = to_device(tokens.batch(rows), self.device)
                row_counts = dict.fromkeys(tasks, len(rows))
                pooled = self.model.pooled(inputs, row_counts) if tasks else {}
                if with_vectors:
                    states = pooled[tasks[0]] if tasks else self.model.encode(inputs)
                    vectors.append(states.float().cpu())
                for task in tasks:
                    head_inputs = beside(pooled[task], tokens.beside(rows))
                    logits[task].append(self.model.logits(task, head_inputs).float().cpu())
        in_order = {task: _restore_order(batches, order) for task, batches in logits.items()}
        return _restore_order(vectors, order), in_order

    @torch.inference_mode()
    def _token_outputs(self, task: str, head: TokenHead, tokens: Tokens) -> NDArray[np.float32]:
        """What a head over tokens gives for every text (n, L): the same each time."""
        assert self.model.vocabulary is not None
        batches: list[torch.Tensor] = []
        order = _by_length(tokens)
        with self._scoring(), arithmetic(self.device, self.precision):
            for rows in self._batches(order):
                inputs, targets = prepare_fixed(head, tokens.batch(rows), self.model.vocabulary)
                targets_on_device = to_device({task: targets}, self.device)[task]
                inputs_on_device = to_device(inputs, self.device)
                outputs = self.model.token_outputs(task, inputs_on_device, targets_on_device)
                batches.append(outputs.float().cpu())
        if not batches:
            return np.zeros((0, len(head.outputs(None))), np.float32)
        return _restore_order(batches, order)

    def _gathered_outputs(self, heads: Mapping[str, Head], tokens: Tokens) -> Outputs:
        """`outputs` of all texts in the first process; each process encodes its batches.

        The batches are those that one process would have, so the outputs are the same too.
        """
        if self.ranks.world_size == 1:
            return self.outputs(heads, tokens)
        order = _by_length(tokens)  # the same in every process
        batches = list(self._batches(order))[self.ranks.rank :: self.ranks.world_size]
        own_rows = np.concatenate([order[:0], *batches])
        # A process without a batch encodes one text, to know how many numbers a text gets.
        encoded_rows = own_rows if len(own_rows) else order[:1]
        gathered: Outputs = {}
        for task, own in self.outputs(heads, tokens.only(encoded_rows)).items():
            all_rows = np.zeros((len(order), own.shape[1]), own.dtype)
            all_rows[own_rows] = own[: len(own_rows)]
            gathered[task] = self.ranks.reduce(all_rows)
        return gathered

    def _batches(self, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]

    @contextmanager
    def _scoring(self) -> Iterator[None]:
        """Inside, the model is in evaluation mode; afterwards in the mode that it was in."""
        training = self.model.training
        self.model.eval()
        try:
            yield
        finally:
            self.model.train(training)


def require_finite(task: str, logits: NDArray[Any], rows: str) -> None:
    """EmomtlError where a model's outputs for `rows` have NaN or infinities."""
    if not np.isfinite(logits).all():
        finding = f"the model's answers on {rows} are not finite"
        remedy = (
            "the run has diverged: lower train.lr and go on from an earlier checkpoint, "
            "or start anew"
        )
        raise EmomtlError(Problem(f"tasks.{task}", finding, remedy))


def _by_length(tokens: Tokens) -> NDArray[np.int64]:
    """The texts, shortest first: those of one batch need little padding."""
    return np.argsort(tokens.lengths, kind="stable")


def _restore_order(
    batches: Sequence[torch.Tensor], order: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The rows of all batches (n, ...), each at the place that `order` took it from."""
    if not batches:
        return np.zeros((0, 0), np.float32)
    sorted_rows = torch.cat(list(batches)).numpy()
    rows = np.empty_like(sorted_rows)
    rows[order] = sorted_rows
    return rows


def _predictions(
    head: Head, rows: TaskRows, logits: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Targets and probabilities of the rows with a known target, as they are scored."""
    known = head.present(rows.targets)
    return head.decided(rows.targets[known]), head.probabilities(logits[known])


def _bad_rows(data: TaskData, task: str, split: str) -> BadRows:
    """The skipped rows of a split.

    A row that did not read has no split where the split stands in a column: it counts in each.
    """
    in_split = data.bad.get((task, split), BadRows())
    in_any_split = data.bad.get((task, "all"), BadRows())
    return BadRows(in_split.unread + in_any_split.unread, in_split.unfit)


def _out_of_memory(tasks: Sequence[str], split: str, batch_size: int) -> Problem:
    finding = (
        f"the device ran out of memory while {', '.join(tasks)} were scored on {split}, "
        f"{batch_size} texts at a time"
    )
    return Problem("eval.batch_size", finding, "lower it; what training kept is good")
