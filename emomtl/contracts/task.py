"""What a task is: a corpus with a question. Where the rows are, how one reads, which labels there are, what head answers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from emomtl.contracts.heads import Head
from emomtl.contracts.sources import Files, Rows, Source, Split
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.errors import EmomtlError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

MOST_EXAMPLES = 1 << 10
"""The most examples that one row may read as."""

LabelValue = str | Sequence[str] | Mapping[str, float | None] | float | Sequence[float | None] | None
"""One name, several names, names with soft values (None: unknown), one number, several numbers; None: not labelled."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row, read: a text (or a pair of texts) and its label by name; `label=None` where the row has none.

    `notes` say what was assumed in reading it, each as a phrase that `emomtl check` prints with the number of
    rows. Examples of one `group` (an item that several people labelled) become one by the task's `combine`;
    `rater` says whose label it is, where that is known, and is only counted.
    """

    text: str
    label: LabelValue
    pair: str | None = None
    notes: tuple[str, ...] = ()
    group: str | None = None
    rater: str | None = None


@dataclass(frozen=True)
class Published:
    """Figures that a corpus's authors print, checked when the whole corpus is loaded.

    `sizes` are rows by split; `labels` are rows with each label, by split.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A corpus with a question.

    `read` is a pure function from one row to an `Example`, to several of them in a list, or to None to drop the row.
    Several examples of a row stay together: the text of the first decides about their split and about `limit`. `sources`
    lists the known layouts, each giving `read` the same columns; one source will do. A `taxonomy` of None is learned from
    the training rows (for single-label and multi-label heads). `split` makes the splits that the corpus lacks. Texts of a
    `sensitive` task are never printed, logged or reported. `special_tokens` are strings, such as `[NAME]`, that the
    tokenizer keeps whole. `combine` makes one example of those of a group.
    """

    name: str
    sources: Source | Sequence[Source]
    read: Callable[[Mapping[str, Any]], Example | Sequence[Example] | None]
    taxonomy: Taxonomy | None = None
    head: Head = field(kw_only=True)
    split: Split | None = field(default=None, kw_only=True)
    published: Published | None = field(default=None, kw_only=True)
    sensitive: bool = field(default=False, kw_only=True)
    special_tokens: tuple[str, ...] = field(default=(), kw_only=True)
    card: str = field(default="", kw_only=True)
    combine: Callable[[Sequence[Example]], Example] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise EmomtlError(f"task name {self.name!r} is not usable", remedy="letters, digits, - and _")
        if not self.layouts:
            raise EmomtlError(f"task '{self.name}' has no source", remedy="give Hub(...), Files(...) or Rows(...)")

    @property
    def layouts(self) -> tuple[Source, ...]:
        """The sources, as a tuple even where one was given; of a sensitive task no error quotes what its files hold."""
        given = tuple(self.sources) if isinstance(self.sources, Sequence) else (self.sources,)
        return tuple(one.hushed() if self.sensitive and isinstance(one, (Files, Rows)) else one for one in given)

    def examples(self, row: Mapping[str, Any]) -> tuple[Example, ...]:
        """What `read` makes of a row, in order; nothing where it drops the row.

        `EmomtlError` where it gives something else, or more than MOST_EXAMPLES. A derived task reads its base with this.
        """
        found = self.read(row)
        if found is None:
            return ()
        if isinstance(found, Example):
            return (found,)
        remedy = "return Example(text, label), several of them in a list, or None"
        if not isinstance(found, (list, tuple)):
            raise EmomtlError(f"`read` gave {type(found).__name__}", remedy=remedy)
        strange = [type(one).__name__ for one in found if not isinstance(one, Example)]
        if strange:
            raise EmomtlError(f"`read` gave {type(found).__name__} with {strange[0]}", remedy=remedy)
        if len(found) > MOST_EXAMPLES:
            raise EmomtlError(f"`read` gave {len(found):,} examples", remedy=f"at most {MOST_EXAMPLES:,} of one row")
        return tuple(found)


class TaskFamily(ABC):
    """Tasks with options: a dataclass whose fields are the options in the manifest and whose `task()` gives the task."""

    name: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @abstractmethod
    def task(self) -> Task:
        """The task that these options describe."""

    def bound(self, head: Head, asked: bool) -> tuple[Task, Head]:
        """The task as it reads for the head of a run, and that head; `asked` where the manifest names one.

        By default what `task` gives, and the head as it is. A family whose reading depends on the head, or
        that needs one of its options, says so here.
        """
        return self.task(), head


class DerivedTask(ABC):
    """Tasks made from another task's rows: a dataclass whose fields are options, one of them `of`, which names that task.

    `of` is a task of the run, whose options and source it takes and which may be derived itself, or else an installed one.
    """

    name: ClassVar[str]
    of: str

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @abstractmethod
    def derive(self, base: Task) -> Task:
        """The task that these options make of `base`; raise `EmomtlError` where it cannot be made (say, of numbers).

        Its `read` asks `base.examples(row)` for what the base makes of a row, which may be several examples.
        """
