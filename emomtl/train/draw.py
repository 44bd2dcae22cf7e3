"""What a step trains on: tasks drawn by the sampler's probabilities, and their rows. Pure: seed, step and state decide."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
from emomtl.train.state import State, without_stopped


@dataclass(frozen=True)
class Part:
    """Rows of one corpus in a step: padded encoder inputs (B, T), each task's first n rows' targets, and features (B, F).

    With `tokens` it belongs to one task alone, whose head prepared the inputs and the targets (B, T).

    Where several processes train together all of this is of one's own part of the texts, of which a task has `texts`; the
    longest of them all, whoever has it, has `width` tokens. `known` are the known targets of a task in
    all processes, as its head counts them (`Head.known`), and `labelled` its texts that have any.
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
        """B, the texts that are encoded, in all processes."""
        return max(self.number(task) for task in self.targets)


@dataclass(frozen=True)
class Totals:
    """What each task has in a whole step, over all micro-batches and processes.

    `texts`, those of them that are `labelled`, and `known` targets. A task of which nothing is known has
    no loss in the step.
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
    """One step's draw: stream positions it moves on by, labelled examples per task, and its parts by micro-batch.

    A part is there only where one of its tasks has a known target in the step; a step without any has none.
    """

    advance: dict[str, int]
    examples: dict[str, int]
    micro: list[list[Part]]
    probabilities: dict[str, float]
    rows: dict[str, NDArray[np.int64]]

    @property
    def shares(self) -> list[float]:
        """The part of the step's rows that each micro-batch has."""
        rows = [sum(part.rows for part in parts) for parts in self.micro]
        return [number / sum(rows) for number in rows]

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that tell the step's rows (positions in their corpora) from those of any other step."""
        rows = {stream: found.tolist() for stream, found in self.rows.items()}
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def totals(self) -> Totals:
        """Texts and known targets of each task in the step."""
        return Totals.of(part for parts in self.micro for part in parts)


class Feeder:
    """Draws steps for a run; holds rows, tokens and targets, and no state of its own.

    `repeats` say of a task's training rows how often they come, where its labels are balanced.
    All processes of a run draw the same rows, and each makes inputs of its part of them.
    """

    def __init__(
        self,
        data: TaskData,
        tokens: Mapping[tuple[str, str], Tokens],
        heads: Mapping[str, Head],
        batches: Mapping[str, int],
        fixed: frozenset[str],
        joint: bool,
        seed: int,
        buckets: bool,
        accumulate: int,
        vocabulary: Vocabulary,
        ranks: Ranks = ALONE,
        repeats: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> None:
        self.heads, self.vocabulary, self.ranks = dict(heads), vocabulary, ranks
        self.batches, self.fixed, self.joint = dict(batches), fixed, joint
        self.seed, self.accumulate = seed, accumulate
        self.tokens = {corpus.name: tokens[corpus.name, "train"] for corpus in data.corpora}
        self.corpus_of = {task: data.corpus(task).name for task in data.taxonomies}
        self.targets: dict[str, NDArray[Any]] = {}
        self.known: dict[str, NDArray[Any]] = {}
        self.streams: dict[str, Stream] = {}
        for corpus in data.corpora:
            lengths = self.tokens[corpus.name].lengths
            for task in corpus.tasks:
                self.targets[task] = _dense(corpus, task, heads[task], data)
                self.known[task] = _known(heads[task], self.targets[task])
                rows, block = corpus.rows[task, "train"].index, self.batches[task]
                self.streams[task] = Stream(task, rows, lengths, seed, block, buckets, (repeats or {}).get(task))
            if joint:
                everything = np.arange(len(corpus.splits["train"]), dtype=np.int64)
                block = max(self.batches[task] for task in corpus.tasks)
                whole = corpus_repeats(corpus, repeats or {})
                self.streams[corpus.name] = Stream(corpus.tasks[0], everything, lengths, seed, block, buckets, whole)

    def draw(self, sampler: Sampler, moment: Moment, state: State) -> Drawing:
        """The step's rows. With one task a step its own stream is read; else one stream per corpus, for all its tasks.

        A task that has stopped is not there for the sampler, and has no rows in the step.
        """
        moment = without_stopped(moment, state)
        probabilities = _checked(sampler.probabilities(moment), moment)
        draw = generator(self.seed, "draw", moment.step)
        if not self.joint:
            names = list(probabilities)
            task = names[int(draw.choice(len(names), p=list(probabilities.values())))]
            wanted, streams = {task: self.batches[task]}, {task: [task]}
        else:
            shared = {task: p for task, p in probabilities.items() if task not in self.fixed}
            wanted = {task: self.batches[task] if task in self.fixed else 0 for task in probabilities}
            if scale := sum(shared.values()):
                total = sum(self.batches[task] for task in shared)
                wanted |= apportion({task: p / scale for task, p in shared.items()}, total, draw)
            streams = {}
            for task in probabilities:
                streams.setdefault(self.corpus_of[task], []).append(task)
        advance = {stream: max(wanted[task] for task in tasks) for stream, tasks in streams.items()}
        rows = {stream: self.streams[stream].take(state.positions.get(stream, 0), n) for stream, n in advance.items()}
        pieces = self.accumulate * state.cut
        most = max(map(len, rows.values()))  # there is nothing in a piece beyond the last row
        micro = [self._parts(rows, streams, wanted, number, pieces, moment.step) for number in range(min(pieces, most))]
        micro = _with_targets(micro)
        examples = {
            task: int((self.known[task][rows[stream][: wanted[task]]] > 0).sum())
            for stream, tasks in streams.items()
            for task in tasks
        }
        return Drawing(advance, examples, micro, probabilities, rows)

    def _parts(
        self,
        rows: Mapping[str, NDArray[np.int64]],
        streams: Mapping[str, list[str]],
        wanted: Mapping[str, int],
        number: int,
        pieces: int,
        step: int,
    ) -> list[Part]:
        """Micro-batch `number`: every `pieces`-th row of each stream, so that each has rows of all lengths and tasks."""
        parts = []
        for stream, tasks in streams.items():
            for together in encoder_passes(tasks, self.heads):
                mine = {task: self._own(task, rows[stream][: wanted[task]][number::pieces]) for task in together}
                mine = {task: chosen for task, chosen in mine.items() if len(chosen)}
                if not mine:
                    continue
                parts.append(self.part(self.corpus_of[tasks[0]], mine, number, step))
        return parts

    def part(self, corpus: str, rows: Mapping[str, NDArray[np.int64]], number: int, step: int) -> Part:
        """This process's part of some rows, which are given by task: those of a task are the first of the longest.

        A task whose head reads tokens is given alone; what it draws depends on `number` and `step`.
        """
        tokens, longest = self.tokens[corpus], max(rows.values(), key=len)
        task = next(iter(rows))
        head = self.heads[task]
        if isinstance(head, TokenHead):
            return self._prepared(corpus, task, head, longest, number, step)
        here, texts = self.ranks.local_rows(longest), {task: len(chosen) for task, chosen in rows.items()}
        targets = {task: self.targets[task][here[: self.ranks.local_count(n)]] for task, n in texts.items()}
        counts = {task: self.known[task][chosen] for task, chosen in rows.items()}
        known = {task: float(count.sum()) for task, count in counts.items()}
        labelled = {task: int((count > 0).sum()) for task, count in counts.items()}
        beside = tokens.beside(here)
        return Part(corpus, tokens.batch(here), targets, False, beside, texts, known=known, labelled=labelled)

    def _own(self, task: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that a task takes into a part: all of them, or those that it has (at least one) where the part is its own."""
        head = self.heads[task]
        if not isinstance(head, TokenHead):
            return rows
        known = head.present(self.targets[task][rows])
        return rows[known] if known.any() else rows[:1]

    def _prepared(self, corpus: str, task: str, head: TokenHead, rows: NDArray[np.int64], number: int, step: int) -> Part:
        """The part of these rows as the head of its task prepares it.

        Every process prepares the texts of all, and keeps its own: so what is drawn for a text does not
        depend on the number of processes, and each knows how many targets there are in all of them.
        """
        draw = generator(self.seed, "tokens", task, step, number)
        inputs, targets = head.prepare(self.tokens[corpus].batch(rows), self.vocabulary, draw)
        targets = np.where(head.present(self.targets[task][rows])[:, None], targets, MISSING_TOKEN)
        known, width = {task: float(head.known(targets).sum())}, targets.shape[1]
        labelled = {task: int(head.present(self.targets[task][rows]).sum())}
        if self.ranks.world_size > 1:
            own = self.ranks.local_rows(np.arange(len(rows)))
            longest = int(self.tokens[corpus].lengths[rows[own]].max())
            inputs = {name: np.ascontiguousarray(array[own, :longest]) for name, array in inputs.items()}
            targets = np.ascontiguousarray(targets[own, :longest])
        texts = {task: len(rows)}
        return Part(corpus, inputs, {task: targets}, True, texts=texts, width=width, known=known, labelled=labelled)


def _with_targets(micro: list[list[Part]]) -> list[list[Part]]:
    """The micro-batches without the parts that no loss is computed on: none of their tasks has a known target in the step."""
    known = Totals.of(part for parts in micro for part in parts).known
    left = [[part for part in parts if any(known[task] for task in part.targets)] for parts in micro]
    return [parts for parts in left if parts]


def _checked(given: Mapping[str, float], moment: Moment) -> dict[str, float]:
    """Probabilities in the order of tasks; a sampler that leaves one out or gives nonsense is named."""
    found = {task: float(given.get(task, 0.0)) for task in moment.tasks}
    total = sum(found.values())
    if not np.isfinite(total) or total <= 0 or min(found.values()) < 0 or set(given) - set(found):
        raise EmomtlError(
            Problem(
                "sampler", f"gave {dict(given)} at step {moment.step}", "numbers >= 0 for the run's tasks, with a sum above 0"
            )
        )
    return {task: p / total for task, p in found.items()}


def _dense(corpus: Corpus, task: str, head: Head, data: TaskData) -> NDArray[Any]:
    """The task's targets for every row of the corpus; rows that it lacks are unlabelled."""
    rows = corpus.rows[task, "train"]
    size = len(corpus.splits["train"])
    if len(rows) == size:
        return rows.targets
    missing = np.asarray(head.encode(None, data.taxonomies[task]))
    dense = np.broadcast_to(missing, (size, *missing.shape)).astype(rows.targets.dtype)
    dense[rows.index] = rows.targets
    return dense


def _known(head: Head, targets: NDArray[Any]) -> NDArray[Any]:
    """How many known targets each row (n,) has; for a head that makes its own of the tokens, whether it has the row."""
    return head.present(targets) if isinstance(head, TokenHead) else head.known(targets)
