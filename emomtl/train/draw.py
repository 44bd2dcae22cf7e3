"""What a step trains on: tasks drawn by the sampler's probabilities, and their rows.

A pure function of seed, step and state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emomtl.contracts.heads import MISSING_TOKEN, Head, TokenHead, Vocabulary, encoder_passes
from emomtl.contracts.sampler import Moment, Sampler
from emomtl.data.batches import Stream, apportion
from emomtl.data.corpus import Corpus, TaskData
from emomtl.data.tokens import Tokens
from emomtl.errors import EmomtlError, Problem
from emomtl.model.parallel.ranks import ALONE, Ranks
from emomtl.seeds import generator
from emomtl.train.balance import corpus_repeats
from emomtl.train.length import batch_sizes
from emomtl.train.state import State, without_stopped

if TYPE_CHECKING:
    from emomtl.compose import Plan

Rows = NDArray[np.int64]
"""Positions of training rows in their corpus (n,)."""


@dataclass(frozen=True)
class Part:
    """Rows of one corpus in a step: padded token ids (B, T), targets by task, features (B, F).

    Each task has the first n <= B rows. With `tokens` the part belongs to one task alone, whose
    head prepared inputs and targets (B, T).

    Where several processes train together, inputs and targets are of this process's own texts; a
    task has `texts` in all of them, and the longest of these has `width` tokens. `known` are the
    known targets of a task in all processes, as its head counts them, and `labelled` its texts that
    have any.
    """

    corpus: str
    inputs: dict[str, NDArray[np.int64]]
    targets: dict[str, NDArray[Any]]
    tokens: bool = False
    features: NDArray[np.float32] | None = None
    texts: Mapping[str, int] = field(default_factory=dict)
    width: int = 0
    known: Mapping[str, float] = field(default_factory=dict)
    labelled: Mapping[str, int] = field(default_factory=dict)

    def number(self, task: str) -> int:
        """The texts of a task, n, in all processes."""
        return self.texts.get(task, len(self.targets[task]))

    @property
    def rows(self) -> int:
        """The texts that are encoded, B, in all processes."""
        return max(self.number(task) for task in self.targets)


@dataclass(frozen=True)
class Totals:
    """Texts, labelled texts and known targets of each task in a whole step.

    Over all micro-batches and processes. A task without known targets has no loss in the step.
    """

    texts: Mapping[str, int]
    known: Mapping[str, float]
    labelled: Mapping[str, int]

    @classmethod
    def of(cls, parts: Iterable[Part]) -> Totals:
        """The totals of the parts of a step."""
        texts: dict[str, int] = {}
        known: dict[str, float] = {}
        labelled: dict[str, int] = {}
        for part in parts:
            for task in part.targets:
                texts[task] = texts.get(task, 0) + part.number(task)
                known[task] = known.get(task, 0.0) + part.known[task]
                labelled[task] = labelled.get(task, 0) + part.labelled[task]
        return cls(texts, known, labelled)

    def targets(self, task: str) -> float:
        """The known targets of a labelled text of the step, on average."""
        return self.known[task] / max(1, self.labelled[task])


@dataclass(frozen=True)
class Drawing:
    """One step's draw.

    `advance` are the rows that each stream moves on by, `examples` labelled examples by task,
    `micro` the parts of each micro-batch, `rows` the rows by stream. A part is there only where one
    of its tasks has a known target in the step; a step without any has none.
    """

    advance: dict[str, int]
    examples: dict[str, int]
    micro: list[list[Part]]
    probabilities: dict[str, float]
    rows: dict[str, Rows]

    @property
    def shares(self) -> list[float]:
        """Each micro-batch's part of the step's rows."""
        rows = [sum(part.rows for part in parts) for parts in self.micro]
        return [number / sum(rows) for number in rows]

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that tell the step's rows from those of any other step."""
        rows = {stream: positions.tolist() for stream, positions in self.rows.items()}
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def totals(self) -> Totals:
        """Texts and known targets of each task in the step."""
        return Totals.of(_flat(self.micro))


class Feeder:
    """Draws the steps of a run; holds rows, tokens and targets, and no state of its own.

    `repeats` say how often each training row (n,) of a task comes, where its labels are balanced.
    All processes of a run draw the same rows, and each makes inputs of its part of them.
    """

    def __init__(
        self,
        plan: Plan,
        data: TaskData,
        tokens: Mapping[tuple[str, str], Tokens],
        vocabulary: Vocabulary,
        repeats: Mapping[str, NDArray[np.float64]],
        ranks: Ranks = ALONE,
    ) -> None:
        manifest = plan.manifest
        self.vocabulary, self.ranks = vocabulary, ranks
        self.heads = {name: bound.head for name, bound in plan.tasks.items()}
        self.batches = batch_sizes(manifest)
        # In joint steps tasks with a batch size of their own are not apportioned by the sampler.
        self.fixed = {name for name, table in manifest.tasks.items() if table.batch_size}
        self.joint = manifest.sampler.per_step == "all"
        self.seed, self.accumulate = manifest.seed, manifest.train.accumulate
        self.tokens = {corpus.name: tokens[corpus.name, "train"] for corpus in data.corpora}
        self.corpus_of = {task: data.corpus(task).name for task in data.taxonomies}
        self.targets: dict[str, NDArray[Any]] = {}
        self.known: dict[str, NDArray[Any]] = {}
        self.streams: dict[str, Stream] = {}
        buckets = manifest.data.buckets
        for corpus in data.corpora:
            lengths = self.tokens[corpus.name].lengths
            for task in corpus.tasks:
                self.targets[task] = _targets_of_all_rows(corpus, task, self.heads[task], data)
                self.known[task] = known_targets(self.heads[task], self.targets[task])
                rows, block = corpus.rows[task, "train"].index, self.batches[task]
                self.streams[task] = Stream(
                    task, rows, lengths, self.seed, block, buckets, repeats.get(task)
                )
            if self.joint:
                # One stream for all tasks of a corpus, so that a text is encoded once for all.
                rows = np.arange(len(corpus.splits["train"]), dtype=np.int64)
                block = max(self.batches[task] for task in corpus.tasks)
                name = corpus.tasks[0]  # its random numbers are those of the first task's stream
                self.streams[corpus.name] = Stream(
                    name, rows, lengths, self.seed, block, buckets, corpus_repeats(corpus, repeats)
                )

    def draw(self, sampler: Sampler, moment: Moment, state: State) -> Drawing:
        """Draw a step: one task and rows of its own stream, or rows of every corpus.

        A task that has stopped is not there for the sampler, and has no rows in the step.
        """
        moment = without_stopped(moment, state)
        probabilities = _checked(sampler.probabilities(moment), moment)
        draw = generator(self.seed, "draw", moment.step)
        if self.joint:
            wanted = self._apportioned(probabilities, draw)
            tasks_by_stream: dict[str, list[str]] = {}
            for task in probabilities:
                tasks_by_stream.setdefault(self.corpus_of[task], []).append(task)
        else:
            number = draw.choice(len(probabilities), p=list(probabilities.values()))
            task = list(probabilities)[int(number)]
            wanted = {task: self.batches[task]}
            tasks_by_stream = {task: [task]}

        advance, rows, examples = {}, {}, {}
        rows_by_task: dict[str, Rows] = {}
        for stream, tasks in tasks_by_stream.items():
            advance[stream] = max(wanted[task] for task in tasks)
            position = state.positions.get(stream, 0)
            rows[stream] = self.streams[stream].take(position, advance[stream])
            for task in tasks:  # they share the rows of their stream: each takes the first ones
                rows_by_task[task] = rows[stream][: wanted[task]]
                examples[task] = int((self.known[task][rows_by_task[task]] > 0).sum())

        pieces = self.accumulate * state.cut
        longest = max(len(positions) for positions in rows.values())
        micro = [
            self._parts(tasks_by_stream, rows_by_task, number, pieces, moment.step)
            for number in range(min(pieces, longest))  # beyond the last row a piece has nothing
        ]
        return Drawing(advance, examples, _with_targets(micro), probabilities, rows)

    def _apportioned(
        self, probabilities: Mapping[str, float], draw: np.random.Generator
    ) -> dict[str, int]:
        """The examples of each task in a joint step: its own batch size, or its part of the sum."""
        wanted = {task: self.batches[task] if task in self.fixed else 0 for task in probabilities}
        shared = {task: p for task, p in probabilities.items() if task not in self.fixed}
        total_p = sum(shared.values())
        if total_p:
            total = sum(self.batches[task] for task in shared)
            wanted |= apportion({task: p / total_p for task, p in shared.items()}, total, draw)
        return wanted

    def _parts(
        self,
        tasks_by_stream: Mapping[str, list[str]],
        rows_by_task: Mapping[str, Rows],
        number: int,
        pieces: int,
        step: int,
    ) -> list[Part]:
        """Micro-batch `number`: every `pieces`-th row, so that each has all lengths and tasks."""
        parts = []
        for tasks in tasks_by_stream.values():
            for together in encoder_passes(tasks, self.heads):
                pieces_by_task = {task: rows_by_task[task][number::pieces] for task in together}
                rows = {task: self._own_rows(task, p) for task, p in pieces_by_task.items()}
                rows = {task: own for task, own in rows.items() if len(own)}
                if rows:
                    parts.append(self.part(self.corpus_of[tasks[0]], rows, number, step))
        return parts

    def part(self, corpus: str, rows: Mapping[str, Rows], number: int, step: int) -> Part:
        """This process's part of rows by task; a task's are the first n of the longest.

        A task whose head reads tokens is given alone; what it draws depends on `number` and `step`.
        """
        tokens, longest = self.tokens[corpus], max(rows.values(), key=len)
        task = next(iter(rows))
        head = self.heads[task]
        if isinstance(head, TokenHead):
            return self._token_part(corpus, task, head, longest, number, step)
        local = self.ranks.local_rows(longest)
        texts, targets, known, labelled = {}, {}, {}, {}
        for task, positions in rows.items():
            texts[task] = len(positions)
            targets[task] = self.targets[task][local[: self.ranks.local_count(texts[task])]]
            counts = self.known[task][positions]
            known[task] = float(counts.sum())
            labelled[task] = int((counts > 0).sum())
        return Part(
            corpus,
            tokens.batch(local),
            targets,
            features=tokens.beside(local),
            texts=texts,
            known=known,
            labelled=labelled,
        )

    def _own_rows(self, task: str, rows: Rows) -> Rows:
        """All rows; for a head over tokens, whose part is its own, the labelled ones or one."""
        head = self.heads[task]
        if not isinstance(head, TokenHead):
            return rows
        labelled = head.present(self.targets[task][rows])
        return rows[labelled] if labelled.any() else rows[:1]

    def _token_part(
        self, corpus: str, task: str, head: TokenHead, rows: Rows, number: int, step: int
    ) -> Part:
        """The part of these rows as the head of its task prepares it.

        Every process prepares the texts of all, and keeps its own: so what is drawn for a text does
        not depend on the number of processes, and each knows the number of targets in all of them.
        """
        draw = generator(self.seed, "tokens", task, step, number)
        inputs, targets = head.prepare(self.tokens[corpus].batch(rows), self.vocabulary, draw)
        labelled = head.present(self.targets[task][rows])
        targets = np.where(labelled[:, None], targets, MISSING_TOKEN)
        known, width = float(head.known(targets).sum()), targets.shape[1]
        if self.ranks.world_size > 1:
            own = self.ranks.local_rows(np.arange(len(rows)))
            longest = int(self.tokens[corpus].lengths[rows[own]].max())
            for name, array in inputs.items():
                inputs[name] = np.ascontiguousarray(array[own, :longest])
            targets = np.ascontiguousarray(targets[own, :longest])
        return Part(
            corpus,
            inputs,
            {task: targets},
            tokens=True,
            texts={task: len(rows)},
            width=width,
            known={task: known},
            labelled={task: int(labelled.sum())},
        )


def known_targets(head: Head, targets: NDArray[Any]) -> NDArray[Any]:
    """The number of known targets of each row (n,).

    For a head that makes its own of the tokens, whether it has the row.
    """
    return head.present(targets) if isinstance(head, TokenHead) else head.known(targets)


def _flat(micro: list[list[Part]]) -> list[Part]:
    return [part for parts in micro for part in parts]


def _with_targets(micro: list[list[Part]]) -> list[list[Part]]:
    """Drop parts, and micro-batches, none of whose tasks has a known target in the step."""
    known = Totals.of(_flat(micro)).known
    trained = {task for task, targets in known.items() if targets}
    remaining = [[part for part in parts if trained & part.targets.keys()] for parts in micro]
    return [parts for parts in remaining if parts]


def _checked(answer: Mapping[str, float], moment: Moment) -> dict[str, float]:
    """A sampler's probabilities in the order of the tasks, with a sum of 1.

    EmomtlError where they are not numbers >= 0 of the run's tasks.
    """
    probabilities = {task: float(answer.get(task, 0.0)) for task in moment.tasks}
    total = sum(probabilities.values())
    unknown = set(answer) - set(probabilities)
    if not np.isfinite(total) or total <= 0 or min(probabilities.values()) < 0 or unknown:
        finding = f"gave {dict(answer)} at step {moment.step}"
        remedy = "numbers >= 0 for the run's tasks, with a sum above 0"
        raise EmomtlError(Problem("sampler", finding, remedy))
    return {task: p / total for task, p in probabilities.items()}


def _targets_of_all_rows(corpus: Corpus, task: str, head: Head, data: TaskData) -> NDArray[Any]:
    """A task's targets for all training rows of its corpus; those it lacks are unlabelled."""
    rows = corpus.rows[task, "train"]
    size = len(corpus.splits["train"])
    if len(rows) == size:
        return rows.targets
    missing = np.asarray(head.encode(None, data.taxonomies[task]))
    targets = np.broadcast_to(missing, (size, *missing.shape)).astype(rows.targets.dtype)
    targets[rows.index] = rows.targets
    return targets
