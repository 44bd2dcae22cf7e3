"""The rows that an audit looks at: tasks over the very same rows are one group, so that nothing is
counted twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emomtl.contracts.sources import SPLITS
from emomtl.data.leaks import exact_keys, text_keys
from emomtl.data.located import row_place
from emomtl.errors import clean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.data.corpus import Corpus, TaskData

TEXT_SHOWN = 160
"""Characters of a text that an example shows."""


@dataclass(frozen=True)
class Rows:
    """The n rows of a group in one split: texts, numbers in the source, and the keys by which texts
    are compared.

    Texts of one `key` are the same in NFKC, lower case and single spaces, those of one `exact` in
    every character.
    """

    numbers: NDArray[np.int64]
    texts: Sequence[str]
    pairs: Sequence[str] | None
    keys: NDArray[np.uint64]
    exact: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.texts)

    def whole(self, row: int) -> str:
        """The text of a row, with its pair."""
        return (
            f"{self.texts[row]}\n{self.pairs[row]}"
            if self.pairs is not None and self.pairs[row]
            else self.texts[row]
        )


@dataclass(frozen=True)
class Answers:
    """What a task says of its group's rows: `one` label, `several`, or `numbers`; targets by split,
    aligned to the rows.
    """

    task: str
    form: Literal["one", "several", "numbers"]
    names: tuple[str, ...]
    targets: Mapping[str, NDArray[Any]]
    present: Mapping[str, NDArray[np.bool_]]

    def holds(self, split: str) -> NDArray[np.bool_]:
        """Which label holds in which row of a split (n, L); soft labels from 0.5 on, unknown ones
        do not. Not for numbers.
        """
        targets = self.targets[split]
        if self.form == "one":
            return np.asarray(targets[:, None] == np.arange(len(self.names))[None, :])
        return np.asarray(np.nan_to_num(targets) >= 0.5)

    def said(self, split: str, row: int) -> str:
        """The labels or numbers of a row, in words."""
        if not self.present[split][row]:
            return "no label"
        target = self.targets[split][row]
        if self.form == "numbers":
            return ", ".join(
                f"{name} {value:.3g}"
                for name, value in zip(self.names, target.tolist(), strict=True)
            )
        names = (
            [self.names[target]]
            if self.form == "one"
            else [n for n, y in zip(self.names, target, strict=True) if y >= 0.5]
        )
        return " + ".join(names) or "none"


@dataclass(frozen=True)
class Group:
    """Tasks over the very same rows, those rows by split, and what each task says of them."""

    rows: Mapping[str, Rows]
    answers: Sequence[Answers]
    sensitive: bool
    name: str = field(default="")

    def place(self, split: str, row: int, named: bool = False) -> str:
        """Where a row stands: its split, and its line (Parquet, hub: row) in the source's file."""
        return (f"{self.name} " if named else "") + row_place(
            split, int(self.rows[split].numbers[row])
        )

    def shown(self, split: str, row: int) -> str | None:
        """A row's text for an example, shortened; None where the group is sensitive."""
        return None if self.sensitive else clean(self.rows[split].whole(row), TEXT_SHOWN)


def groups(data: TaskData, heads: Mapping[str, Head]) -> list[Group]:
    """The groups of all that was read, in the tasks' order; splits without rows are left out."""
    found = []
    for corpus in data.corpora:
        members: list[list[str]] = []
        for task in corpus.tasks:
            same = (
                m
                for m in members
                if all(
                    np.array_equal(_index(corpus, task, s), _index(corpus, m[0], s)) for s in SPLITS
                )
            )
            mates = next(same, None)
            if mates is None:
                members.append([task])
            else:
                mates.append(task)
        found += [_group(corpus, tasks, data, heads) for tasks in members]
    return found


def _index(corpus: Corpus, task: str, split: str) -> NDArray[np.int64]:
    rows = corpus.rows.get((task, split))
    return np.zeros(0, np.int64) if rows is None else rows.index


def _group(
    corpus: Corpus, tasks: Sequence[str], data: TaskData, heads: Mapping[str, Head]
) -> Group:
    rows = {}
    for split in SPLITS:
        index = _index(corpus, tasks[0], split)
        if not len(index):
            continue
        part = corpus.splits[split]
        every = len(index) == len(part)
        texts = part.texts if every else [part.texts[i] for i in index]
        pairs = part.pairs if every or part.pairs is None else [part.pairs[i] for i in index]
        rows[split] = Rows(
            part.numbers[index], texts, pairs, text_keys(texts, pairs), exact_keys(texts, pairs)
        )
    answers = []
    for task in tasks:
        taxonomy, head = data.taxonomies[task], heads[task]
        targets = {split: head.decided(corpus.rows[task, split].targets) for split in rows}
        one = all(found.ndim == 1 for found in targets.values())
        form: Literal["one", "several", "numbers"] = (
            "numbers" if taxonomy is None else "one" if one else "several"
        )
        present = {split: head.present(found) for split, found in targets.items()}
        if form == "numbers":
            targets = {split: found.reshape(len(found), -1) for split, found in targets.items()}
        answers.append(Answers(task, form, head.outputs(taxonomy), targets, present))
    return Group(rows, answers, corpus.sensitive, " + ".join(tasks))
