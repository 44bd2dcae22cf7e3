"""Every task's `read` over the rows of one source, with bad rows told by place and odd texts counted."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import SPLITS
from emomtl.contracts.task import Example
from emomtl.data.located import FILE_STRIDE
from emomtl.data.source_file import MANY_LINES, Heard
from emomtl.data.texts import TextColumn
from emomtl.errors import AmbiguousLabel, EmomtlError, Problem, clean, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from emomtl.contracts.task import Task
    from emomtl.data.locate import Located, RawRow

MOST_PROBLEMS = 10
"""Bad rows that one error lists; the rest is counted."""


@dataclass
class ReadRows:
    """The examples of one task in one split, in the source's order; `origin` is the split of the source they stand in.

    `numbers` are those of the rows; a row that reads as several examples has its number as many times.
    `assumed` counts what `read` had to assume, and `groups` are those that the examples belong to, each with its
    rater where that is known.
    """

    origin: str
    numbers: array[int] = field(default_factory=lambda: array("q"))
    texts: TextColumn = field(default_factory=TextColumn)
    pairs: TextColumn | None = None
    labels: list[Any] = field(default_factory=list)
    assumed: dict[str, int] = field(default_factory=dict)
    groups: list[str | None] | None = None
    raters: list[str | None] = field(default_factory=list)

    def add(self, number: int, example: Example) -> None:
        """One more example."""
        if example.pair is not None and self.pairs is None:
            self.pairs = TextColumn([""] * len(self.texts))
        if self.pairs is not None:
            self.pairs.append(example.pair or "")
        self.numbers.append(number)
        self.texts.append(example.text)
        self.labels.append(example.label)
        for note in example.notes:
            self.assumed[note] = self.assumed.get(note, 0) + 1
        if example.group is not None and self.groups is None:
            self.groups = [None] * (len(self.labels) - 1)
        if self.groups is not None:
            self.groups.append(example.group)
        if example.rater is not None:
            self.raters += [None] * (len(self.labels) - 1 - len(self.raters))
            self.raters.append(example.rater)

    def example(self, i: int) -> Example:
        """The example at a position."""
        pair = self.pairs[i] if self.pairs is not None else None
        return Example(self.texts[i], self.labels[i], pair or None)

    def only(self, chosen: Sequence[int]) -> ReadRows:
        """The examples at these positions."""
        numbers, labels = array("q", (self.numbers[i] for i in chosen)), [self.labels[i] for i in chosen]
        pairs = None if self.pairs is None else self.pairs.only(chosen)
        return ReadRows(self.origin, numbers, self.texts.only(chosen), pairs, labels, self.assumed)


@dataclass
class BadRows:
    """Rows of a split that were skipped: those that did not read, and those whose label does not fit."""

    unread: int = 0
    unfit: int = 0


@dataclass
class Tally:
    """What reading met: bad rows (errors with `stop`, a count and a list with `skip`), odd texts, which are only counted,
    `seen`, the rows of each task that are not dropped, in each split of the source, and `made`, those of each split that a
    task makes itself. `names` are the tasks of the source. `heard` has, for each file of which something was told, the split
    of the source for which it was read first: a file that is read again for another split tells the same again.
    Of rows over many lines and rows with a cell in quotes there are counts, the longest of those, the first of these
    (by file and line). Where any task of the source is sensitive, nothing of a row is quoted.
    """

    on_bad_row: str = "stop"
    sensitive: bool = False
    problems: list[Problem] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    seen: dict[tuple[str, str], int] = field(default_factory=dict)
    bad: dict[tuple[str, str], BadRows] = field(default_factory=dict)
    made: dict[tuple[str, str], int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    heard: dict[str, str] = field(default_factory=dict)
    many_lines: int = 0
    longest: tuple[int, str, int] = (0, "", 0)
    wrapped: int = 0
    first_wrapped: tuple[str, int] | None = None

    def add(
        self, name: str, located: Located, split: str, origin: str, number: int, error: Exception, unfit: bool = False
    ) -> None:
        """Remember a bad row (`unfit`: only its label does not fit)."""
        if isinstance(error, AmbiguousLabel):
            raise self.refused(name, located, origin, number, error)
        counted = self.bad.setdefault((name, split), BadRows())
        if unfit:
            counted.unfit += 1
        else:
            counted.unread += 1

        def problem() -> Problem:
            file, line = located.place(origin, number)
            return Problem(f"{name}: {split} row {line}", *_words(error, self.sensitive), file, line)

        self.count(name, "bad rows")
        self.show(name, problem)

    @property
    def has_room(self) -> bool:
        """Whether one more bad row is looked at: all are where the eleventh ends the reading."""
        return self.on_bad_row == "stop" or len(self.skipped) < MOST_PROBLEMS

    def show(self, name: str, problem: Callable[[], Problem]) -> None:
        """Remember what is wrong with a bad row while there is room; with `stop`, one after the tenth ends the reading."""
        if self.on_bad_row == "skip":
            if self.has_room:
                self.skipped.append(str(problem()))
            return
        if len(self.problems) >= MOST_PROBLEMS:
            raise EmomtlError(
                Problem(name, f"more than {MOST_PROBLEMS} bad rows", '`[data] on_bad_row = "skip"` counts and lists them')
            )
        self.problems.append(problem())

    def refused(self, name: str, located: Located, origin: str, number: int, error: AmbiguousLabel) -> EmomtlError:
        """The error for a label that could mean two things; it is no bad row, so nothing skips it."""
        file, line = located.place(origin, number)
        problem = error.problems[0]
        example = "" if self.sensitive else f", first {quoted(error.cell)} in row {line}"
        place = f"tasks.{name}.options"
        return EmomtlError(Problem(place, f"{problem.found}{example}", problem.remedy, file, line))

    def count(self, name: str, what: str, rows: int = 1) -> None:
        """Count something odd in a task's rows."""
        counts = self.counts.setdefault(name, {})
        counts[what] = counts.get(what, 0) + rows

    def counted(self, name: str) -> dict[str, int]:
        """What was counted for a task."""
        return dict(self.counts.get(name, {}))

    @property
    def notes(self) -> list[str]:
        """What there is to say: counts by task, then the skipped rows (at most ten)."""
        lines = [f"{name}: {', '.join(f'{n:,} {what}' for what, n in counts.items())}" for name, counts in self.counts.items()]
        lines += [f"{', '.join(self.names)}: {what}" for what in self._odd_cells()]
        return lines + [f"skipped {line}" for line in self.skipped[:MOST_PROBLEMS]]

    def _odd_cells(self) -> list[str]:
        """Cells that look as if quotes were read in the wrong way: how many rows have one, and where."""
        found = []
        if self.many_lines:
            most, file, line = self.longest
            where = f"{self.many_lines:,} rows run over more than {MANY_LINES} lines, the longest over {most:,} from"
            remedy = 'an opened quote? `quoting = "none"` reads quotes as plain characters, "csv" says that this is right'
            found.append(f"{where} {clean(file, 200)}:{line} ({remedy})")
        if self.first_wrapped is not None:
            file, line = self.first_wrapped
            where = f"{self.wrapped:,} rows have a cell in quotes, which are read as a part of it, first in"
            found.append(f'{where} {clean(file, 200)}:{line} (`quoting = "csv"` takes them away)')
        return found


@dataclass
class Listener(Heard):
    """What the readers of a source's files tell, for all its tasks, in the pass for one split; `unread` counts bad rows.

    A file that is read once for each split tells the same in each pass, and is heard in the first one.
    """

    tally: Tally
    located: Located
    origin: str
    unread: int = 0
    _file: int = -1
    _first_pass: bool = True

    def bad(self, line: int, error: Callable[[], EmomtlError]) -> None:
        """A row that cannot be cut into its cells is no row of any task."""
        if not self._new(line):
            return
        self.unread += 1
        if self.tally.has_room:
            _, number = self.located.place(self.origin, line)
            name = self.tally.names[0]
            self.tally.show(name, lambda: replace(error().problems[0], place=f"{name}: {self.origin} row {number}"))

    def many_lines(self, line: int, count: int) -> None:
        """A row over many lines, where the layout does not say that it is meant."""
        if self._new(line):
            self.tally.many_lines += 1
            if count > self.tally.longest[0]:
                self.tally.longest = (count, *self.located.place(self.origin, line))

    def wrapped(self, line: int) -> None:
        """A row with a cell in quotes."""
        if self._new(line):
            self.tally.wrapped += 1
            self.tally.first_wrapped = self.tally.first_wrapped or self.located.place(self.origin, line)

    def close(self) -> None:
        """Count the rows that were not read for each task."""
        if self.unread:
            for name in self.tally.names:
                self.tally.count(name, "bad rows", self.unread)
                self.tally.bad.setdefault((name, self.origin), BadRows()).unread += self.unread

    def _new(self, line: int) -> bool:
        """Whether this pass is the first one over the file of a row."""
        if (file := line // FILE_STRIDE) != self._file:
            path, _ = self.located.place(self.origin, line)
            self._file, self._first_pass = file, self.tally.heard.setdefault(path, self.origin) == self.origin
        return self._first_pass


def read_rows(tasks: Mapping[str, Task], located: Located, splits: Sequence[str], bad: Tally) -> dict[str, dict[str, ReadRows]]:
    """Each task's rows by split, from one pass over the source; the splits that a task makes itself are made here."""
    found: dict[str, dict[str, ReadRows]] = {name: {} for name in tasks}
    bad.names = tuple(tasks)
    makes = any(task.split is not None for task in tasks.values())
    for origin in located.splits:
        if origin not in splits and origin != "all" and not (origin == "train" and makes):
            continue
        listener = Listener(bad, located, origin)
        for raw in located.rows(origin, listener):
            for name, task in tasks.items():
                examples = _examples(name, task, located, origin, raw, bad)
                if not examples:
                    continue
                bad.seen[name, origin] = bad.seen.get((name, origin), 0) + 1
                split = _split(task, located, origin, examples[0].text)
                if split not in (origin, "train"):
                    bad.made[name, split] = bad.made.get((name, split), 0) + 1
                for example in examples if split in splits else ():
                    if split not in found[name]:
                        found[name][split] = ReadRows(origin)
                    found[name][split].add(raw.number, example)
        listener.close()
    for name, task in tasks.items():
        for split, part in found[name].items():
            for note, rows in part.assumed.items():
                bad.count(name, note, rows)
            if task.combine is not None and part.groups is not None:
                found[name][split] = combined(name, task.combine, part, located, split, bad)
    return {name: {split: parts[split] for split in SPLITS if split in parts} for name, parts in found.items()}


def combined(
    name: str,
    combine: Callable[[Sequence[Example]], Example],
    part: ReadRows,
    located: Located,
    split: str,
    bad: Tally,
) -> ReadRows:
    """The examples of a split with those of each group made one, which stands where its first one stood."""
    members: dict[Any, list[int]] = {}
    for i, group in enumerate(part.groups or ()):
        members.setdefault(i if group is None else group, []).append(i)
    whole = ReadRows(part.origin, assumed=dict(part.assumed))
    for group, places in members.items():
        number = part.numbers[places[0]]
        if isinstance(group, int):
            whole.add(number, part.example(places[0]))
            continue
        try:
            example = combine([part.example(i) for i in places])
        except Exception as error:  # a stranger's code, as `read` is
            bad.add(name, located, split, part.origin, number, error)
            continue
        whole.add(number, example)
        for note in example.notes:
            bad.count(name, note)
    each = [len(places) for places in members.values()]
    rows = f"{min(each)} to {max(each)} rows each" if min(each) < max(each) else f"{min(each)} row(s) each"
    bad.count(name, f"{split} rows that became {len(members):,} example(s), one for each id ({rows})", len(part.labels))
    _count_raters(name, part, split, bad)
    return whole


def _count_raters(name: str, part: ReadRows, split: str, bad: Tally) -> None:
    """Say how many people labelled a split, and how often one of them did an item twice."""
    pairs = [pair for pair in zip(part.groups or (), part.raters, strict=False) if pair[1] is not None]
    if not pairs:
        return
    bad.count(name, f"raters of {split}", len({rater for _, rater in pairs}))
    if again := len(pairs) - len(set(pairs)):
        bad.count(name, f"{split} rows in which a rater labels an item again (each of them counts)", again)


def _split(task: Task, located: Located, origin: str, text: str) -> str:
    """The split of a row: the source's own, else the task's stable hash; rows of train fill only splits that are missing."""
    if task.split is None or origin not in ("all", "train"):
        return "train" if origin == "all" else origin
    wanted = task.split.of(text)
    return "train" if wanted in located.splits else wanted


def _examples(name: str, task: Task, located: Located, origin: str, raw: RawRow, bad: Tally) -> list[Example]:
    """One row through the task's `read`, made fit for a tokenizer; nothing where the row is dropped or bad."""
    try:
        examples = task.examples(raw.values)
        for value in _texts(examples):
            if not isinstance(value, str):
                raise EmomtlError(f"the text is {type(value).__name__}, not a string")
    except Exception as error:  # a stranger's code: whatever it raises is a bad row with a place
        bad.add(name, located, origin, origin, raw.number, error)
        return []
    if not examples:
        bad.count(name, "rows that its `read` drops")
    return [_fit(name, example, bad) for example in examples]


def _texts(examples: Sequence[Example]) -> Iterable[Any]:
    """All texts of a row's examples, the second ones of pairs among them."""
    for example in examples:
        yield example.text
        if example.pair is not None:
            yield example.pair


def _fit(name: str, example: Example, bad: Tally) -> Example:
    """An example whose texts a tokenizer takes; odd ones are counted."""
    text, pair = _sane(name, example.text, bad), example.pair
    if not text.strip():
        bad.count(name, "empty texts")
    sane = None if pair is None else _sane(name, pair, bad)
    return Example(text, example.label, sane, example.notes, example.group, example.rater)


def _sane(name: str, text: str, bad: Tally) -> str:
    """The text with lone surrogates replaced by U+FFFD; tokenizers refuse them."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        bad.count(name, "texts with lone surrogates (replaced)")
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _words(error: Exception, sensitive: bool) -> tuple[str, str]:
    """What a bad row's error says; for a sensitive one nothing that could quote it."""
    if sensitive:
        return f"does not read ({type(error).__name__})", "the row is not shown: the task is sensitive"
    if isinstance(error, EmomtlError):
        return error.problems[0].found, error.problems[0].remedy
    if isinstance(error, KeyError):
        return f"`read` found no column {quoted(error.args[0] if error.args else '')}", "look at the source's header"
    return f"`read` raised {type(error).__name__}: {clean(str(error))}", "mend the row, or the task's `read`"
