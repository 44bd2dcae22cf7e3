"""What a task is: a corpus with a question.

It says where the rows are, how one is read, which labels there are, and which head answers.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from emomtl.contracts.heads import Head
from emomtl.contracts.sources import Hub, Source, Split
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.errors import EmomtlError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

MOST_EXAMPLES = 1 << 10
"""The most examples that one row may read as."""

LabelValue = (
    str | Sequence[str] | Mapping[str, float | None] | float | Sequence[float | None] | None
)
"""One name, several names, names with soft values (None: unknown), one number, several numbers; or
None for a row without label."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row, read: a text (or a pair of texts) and its label by name.

    `label` is None where the row has none. `notes` say what was assumed in reading it, each a
    phrase that `emomtl check` prints with the number of rows. Examples of one `group` (an item that
    several people labelled) become one by the task's `combine`; `rater` says whose label it is,
    where that is known, and is only counted.
    """

    text: str
    label: LabelValue
    pair: str | None = None
    notes: tuple[str, ...] = ()
    group: str | None = None
    rater: str | None = None


@dataclass(frozen=True)
class Published:
    """Numbers that a corpus's authors print, checked when the whole corpus is loaded.

    `sizes` are rows by split; `labels` are rows with each label, by split.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A corpus with a question.

    - `sources` are the known layouts, each giving `read` the same columns; one source will do.
    - `read` is a pure function from one row to an `Example`, to several of them in a list, or to
      None to drop the row. Examples of one row stay together: the text of the first decides about
      their split and about `limit`.
    - A `taxonomy` of None is learned from the training rows (for heads with labels).
    - `split` makes the splits that the corpus lacks.
    - `published` are the authors' own numbers, to be checked.
    - Texts of a `sensitive` task are never printed, logged or reported.
    - `special_tokens` are strings, such as `[NAME]`, that the tokenizer keeps whole.
    - `combine` makes one example of those of a group.
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
            problem = f"task name {self.name!r} is not usable"
            raise EmomtlError(problem, remedy="letters, digits, - and _")
        if not self.layouts:
            problem = f"task '{self.name}' has no source"
            raise EmomtlError(problem, remedy="give Hub(...), Files(...) or Rows(...)")

    @property
    def layouts(self) -> tuple[Source, ...]:
        """The sources as a tuple; those of a sensitive task are `sensitive` too."""
        sources = self.sources if isinstance(self.sources, Sequence) else (self.sources,)
        if not self.sensitive:
            return tuple(sources)
        return tuple(
            source if isinstance(source, Hub) else source.as_sensitive() for source in sources
        )

    def examples(self, row: Mapping[str, Any]) -> tuple[Example, ...]:
        """What `read` makes of a row, in order; nothing where it drops the row.

        `EmomtlError` where it gives something else, or more than MOST_EXAMPLES. A derived task
        reads its base with this.
        """
        result = self.read(row)
        if result is None:
            return ()
        if isinstance(result, Example):
            return (result,)
        remedy = "return Example(text, label), several of them in a list, or None"
        kind = type(result).__name__
        if not isinstance(result, (list, tuple)):
            raise EmomtlError(f"`read` gave {kind}", remedy=remedy)
        for item in result:
            if not isinstance(item, Example):
                problem = f"`read` gave {kind} with {type(item).__name__}"
                raise EmomtlError(problem, remedy=remedy)
        if len(result) > MOST_EXAMPLES:
            remedy = f"at most {MOST_EXAMPLES:,} of one row"
            raise EmomtlError(f"`read` gave {len(result):,} examples", remedy=remedy)
        return tuple(result)


class TaskFamily(ABC):
    """Tasks with options: a dataclass whose fields are the options in the manifest."""

    name: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @abstractmethod
    def task(self) -> Task:
        """The task that these options describe."""

    def bound(self, head: Head, asked: bool) -> tuple[Task, Head]:
        """The task as it reads for the head of a run, and that head.

        `asked` is true where the manifest names the head. By default it is what `task` gives, with
        the head as it is. A family whose reading depends on the head, or that needs one of its
        options, says so here.
        """
        return self.task(), head


class DerivedTask(ABC):
    """Tasks made from another task's rows: a dataclass whose fields are options.

    The option `of` names the base: a task of the run, whose options and source it takes and which
    may be derived itself, or else an installed one.
    """

    name: ClassVar[str]
    of: str

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    @abstractmethod
    def derive(self, base: Task) -> Task:
        """The task that these options make of `base`.

        Its `read` uses `base.examples(row)`, which may give several examples. Raise `EmomtlError`
        where it cannot be made (say, of numbers).
        """
