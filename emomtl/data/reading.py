"""Every task's `read` over the rows of one source; bad rows and odd texts are counted."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import SPLITS
from emomtl.contracts.task import Example
from emomtl.data.source_file import MANY_LINES, RawRow
from emomtl.data.texts import TextColumn
from emomtl.errors import AmbiguousLabel, EmomtlError, Problem, clean, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from emomtl.contracts.task import Task
    from emomtl.data.located import Located

MOST_PROBLEMS = 10
"""Bad rows that one error lists; the others are counted."""


@dataclass
class ReadRows:
    """The examples of one task in one split, in the source's order.

    `origin` is the split of the source in which they stand. `numbers` are those of the rows: a row
    that reads as several examples has its number as many times. `assumed` counts what `read` had to
    assume. `groups` are those that the examples belong to, with the `raters` where they are known.
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
        """Add an example. Columns that most corpora lack begin with the first value."""
        before = len(self.labels)
        if example.pair is not None and self.pairs is None:
            self.pairs = TextColumn([""] * before)
        if self.pairs is not None:
            self.pairs.append(example.pair or "")
        self.numbers.append(number)
        self.texts.append(example.text)
        self.labels.append(example.label)
        for note in example.notes:
            self.assumed[note] = self.assumed.get(note, 0) + 1
        if example.group is not None and self.groups is None:
            self.groups = [None] * before
        if self.groups is not None:
            self.groups.append(example.group)
        if example.rater is not None:
            self.raters += [None] * (before - len(self.raters))
            self.raters.append(example.rater)

    def example(self, i: int) -> Example:
        """The example at a position."""
        pair = self.pairs[i] if self.pairs is not None else None
        return Example(self.texts[i], self.labels[i], pair or None)

    def only(self, chosen: Sequence[int]) -> ReadRows:
        """The examples at these positions."""
        numbers = array("q", (self.numbers[i] for i in chosen))
        labels = [self.labels[i] for i in chosen]
        pairs = None if self.pairs is None else self.pairs.only(chosen)
        texts = self.texts.only(chosen)
        return ReadRows(self.origin, numbers, texts, pairs, labels, self.assumed)


@dataclass
class BadRows:
    """Rows of a split that were skipped: those that did not read, and those with a wrong label."""

    unread: int = 0
    unfit: int = 0


@dataclass(frozen=True)
class RowPlace:
    """Where a row of a task stands: `split` is the task's, `origin` that of the source."""

    task: str
    located: Located
    split: str
    origin: str
    number: int

    @property
    def file_and_line(self) -> tuple[str, int]:
        """The file (or hub data set), and the line (or row) in it."""
        return self.located.place(self.origin, self.number)


@dataclass
class Tally:
    """What reading the rows of one source met.

    Bad rows are errors (`problems`) where `on_bad_row` is "stop". With "skip" they are counted
    (`bad`, by task and split) and the first ones listed (`skipped`). Where a task of the source is
    `sensitive`, nothing of a row is quoted.

    - `counts`: by task, how many rows are odd in which way.
    - `seen`: by task and split of the source, the rows that `read` does not drop.
    - `made`: by task and split, the rows of a split that the task makes itself.
    - `tasks`: the names of the source's tasks.
    - `first_pass`: by file, the split of the source for which its bad rows were counted.
    - `many_lines`: rows over many lines; `longest`: lines, file and first line of the longest.
    - `quoted_cells`: rows with quotes that are read as text; `first_quoted`: file and line.
    """

    on_bad_row: str = "stop"
    sensitive: bool = False
    problems: list[Problem] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    seen: dict[tuple[str, str], int] = field(default_factory=dict)
    bad: dict[tuple[str, str], BadRows] = field(default_factory=dict)
    made: dict[tuple[str, str], int] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    first_pass: dict[str, str] = field(default_factory=dict)
    many_lines: int = 0
    longest: tuple[int, str, int] = (0, "", 0)
    quoted_cells: int = 0
    first_quoted: tuple[str, int] | None = None

    def add(self, place: RowPlace, error: Exception, unfit: bool = False) -> None:
        """Remember a bad row; `unfit` where only its label is wrong."""
        if isinstance(error, AmbiguousLabel):
            raise self._ambiguous(place, error)
        bad = self.bad.setdefault((place.task, place.split), BadRows())
        if unfit:
            bad.unfit += 1
        else:
            bad.unread += 1

        def problem() -> Problem:
            file, line = place.file_and_line
            row = f"{place.task}: {place.split} row {line}"
            return Problem(row, *_found_and_remedy(error, self.sensitive), file, line)

        self.count(place.task, "bad rows")
        self.show(place.task, problem)

    def add_odd(self, located: Located, origin: str, raw: RawRow) -> None:
        """Remember a row that cannot be read, or that looks as if quotes were read wrongly.

        A bad row counts for every task of the source. A file that is read once for each split has
        its bad rows in each pass, and they count in the first one.
        """
        file, line = located.place(origin, raw.number)
        error = raw.error
        if error is not None:
            if self.first_pass.setdefault(file, origin) != origin:
                return
            for task in self.tasks:
                self.count(task, "bad rows")
                self.bad.setdefault((task, origin), BadRows()).unread += 1
            task = self.tasks[0]
            place = f"{task}: {origin} row {line}"
            self.show(task, lambda: replace(error().problems[0], place=place))
        if raw.many_lines:
            self.many_lines += 1
            self.longest = max(self.longest, (raw.many_lines, file, line), key=lambda row: row[0])
        if raw.has_quotes:
            self.quoted_cells += 1
            self.first_quoted = self.first_quoted or (file, line)

    def show(self, task: str, problem: Callable[[], Problem]) -> None:
        """List a bad row while there is room. With "stop", EmomtlError for one after the tenth."""
        if self.on_bad_row == "skip":
            if len(self.skipped) < MOST_PROBLEMS:
                self.skipped.append(str(problem()))
            return
        if len(self.problems) >= MOST_PROBLEMS:
            remedy = '`[data] on_bad_row = "skip"` counts and lists them'
            raise EmomtlError(Problem(task, f"more than {MOST_PROBLEMS} bad rows", remedy))
        self.problems.append(problem())

    def _ambiguous(self, place: RowPlace, error: AmbiguousLabel) -> EmomtlError:
        """The error for a label that could mean two things. It is no bad row: nothing skips it."""
        file, line = place.file_and_line
        problem = error.problems[0]
        example = "" if self.sensitive else f", first {quoted(error.cell)} in row {line}"
        where = f"tasks.{place.task}.options"
        return EmomtlError(Problem(where, problem.found + example, problem.remedy, file, line))

    def count(self, task: str, what: str, rows: int = 1) -> None:
        """Count rows of a task that are odd."""
        counts = self.counts.setdefault(task, {})
        counts[what] = counts.get(what, 0) + rows

    def counted(self, task: str) -> dict[str, int]:
        """What was counted for a task."""
        return dict(self.counts.get(task, {}))

    @property
    def notes(self) -> list[str]:
        """Counts by task, cells with odd quotes, then the first skipped rows."""
        lines = []
        for task, counts in self.counts.items():
            counted = ", ".join(f"{rows:,} {what}" for what, rows in counts.items())
            lines.append(f"{task}: {counted}")
        lines += [f"{', '.join(self.tasks)}: {note}" for note in self._quote_notes()]
        return lines + [f"skipped {row}" for row in self.skipped[:MOST_PROBLEMS]]

    def _quote_notes(self) -> list[str]:
        """Signs that quotes are read in the wrong way: how many rows have one, and where."""
        notes = []
        if self.many_lines:
            most, file, line = self.longest
            notes.append(
                f"{self.many_lines:,} rows run over more than {MANY_LINES} lines, the longest over "
                f"{most:,} from {clean(file, 200)}:{line} (an opened quote? `quoting = "
                '"none"` reads quotes as plain characters, "csv" says that this is right)'
            )
        if self.first_quoted is not None:
            file, line = self.first_quoted
            notes.append(
                f"{self.quoted_cells:,} rows have a cell in quotes, which are read as a part of "
                f'it, first in {clean(file, 200)}:{line} (`quoting = "csv"` takes them away)'
            )
        return notes


def read_rows(
    tasks: Mapping[str, Task], located: Located, splits: Sequence[str], tally: Tally
) -> dict[str, dict[str, ReadRows]]:
    """Each task's rows by split, from one pass over the source; makes the splits of a task."""
    rows: dict[str, dict[str, ReadRows]] = {name: {} for name in tasks}
    tally.tasks = tuple(tasks)
    makes_splits = any(task.split is not None for task in tasks.values())
    for origin in located.splits:
        if origin not in (*splits, "all") and not (origin == "train" and makes_splits):
            continue
        for raw in located.rows_with_bad(origin):
            if raw.error is not None or raw.many_lines or raw.has_quotes:
                tally.add_odd(located, origin, raw)
            if raw.error is not None:
                continue
            for name, task in tasks.items():
                _add_row(rows[name], name, task, (located, origin, raw), splits, tally)
    for name, task in tasks.items():
        _combine(rows[name], name, task, located, tally)
    ordered = {}
    for name, parts in rows.items():
        ordered[name] = {split: parts[split] for split in SPLITS if split in parts}
    return ordered


def _add_row(
    parts: dict[str, ReadRows],
    name: str,
    task: Task,
    source: tuple[Located, str, RawRow],
    splits: Sequence[str],
    tally: Tally,
) -> None:
    """Add a task's examples of one row to the split that they belong to."""
    located, origin, raw = source
    examples = _examples(name, task, located, origin, raw, tally)
    if not examples:
        return
    tally.seen[name, origin] = tally.seen.get((name, origin), 0) + 1
    split = _split(task, located, origin, examples[0].text)
    if split not in (origin, "train"):
        tally.made[name, split] = tally.made.get((name, split), 0) + 1
    if split not in splits:
        return
    if split not in parts:
        parts[split] = ReadRows(origin)
    for example in examples:
        parts[split].add(raw.number, example)


def _combine(
    parts: dict[str, ReadRows], name: str, task: Task, located: Located, tally: Tally
) -> None:
    """Count what was assumed, and make one example of each group where the task combines them."""
    for split, part in parts.items():
        for note, count in part.assumed.items():
            tally.count(name, note, count)
        if task.combine is not None and part.groups is not None:
            place = RowPlace(name, located, split, part.origin, 0)
            parts[split] = combined(task.combine, part, place, tally)


def combined(
    combine: Callable[[Sequence[Example]], Example], part: ReadRows, place: RowPlace, tally: Tally
) -> ReadRows:
    """A split with the examples of each group made one, which stands where its first one stood.

    `place` is the split's; its row number is not used.
    """
    positions_by_group: dict[Any, list[int]] = {}
    for i, group in enumerate(part.groups or ()):
        # An example without a group is a group of its own, with its position (an int) for a name.
        positions_by_group.setdefault(i if group is None else group, []).append(i)
    result = ReadRows(part.origin, assumed=dict(part.assumed))
    for group, positions in positions_by_group.items():
        number = part.numbers[positions[0]]
        if isinstance(group, int):
            result.add(number, part.example(positions[0]))
            continue
        try:
            example = combine([part.example(i) for i in positions])
        except Exception as error:  # a plugin's code may raise anything, as `read` may
            tally.add(replace(place, number=number), error)
            continue
        result.add(number, example)
        for note in example.notes:
            tally.count(place.task, note)
    sizes = [len(positions) for positions in positions_by_group.values()]
    each = f"{min(sizes)} to {max(sizes)} rows" if min(sizes) < max(sizes) else f"{sizes[0]} row(s)"
    became = f"{place.split} rows that became {len(sizes):,} example(s), one for each id"
    tally.count(place.task, f"{became} ({each} each)", len(part.labels))
    _count_raters(place, part, tally)
    return result


def _count_raters(place: RowPlace, part: ReadRows, tally: Tally) -> None:
    """Count the raters of a split, and the rows in which one of them labels an item again."""
    pairs = []
    for group, rater in zip(part.groups or (), part.raters, strict=False):
        if rater is not None:
            pairs.append((group, rater))
    if not pairs:
        return
    tally.count(place.task, f"raters of {place.split}", len({rater for _, rater in pairs}))
    if again := len(pairs) - len(set(pairs)):
        what = f"{place.split} rows in which a rater labels an item again (each of them counts)"
        tally.count(place.task, what, again)


def _split(task: Task, located: Located, origin: str, text: str) -> str:
    """The split of a row: the source's own, else the one that a hash of its text gives.

    Rows of train fill only splits that the source lacks.
    """
    if task.split is None or origin not in ("all", "train"):
        return "train" if origin == "all" else origin
    split = task.split.of(text)
    return "train" if split in located.splits else split


def _examples(
    name: str, task: Task, located: Located, origin: str, raw: RawRow, tally: Tally
) -> list[Example]:
    """One row through the task's `read`; nothing where the row is dropped or bad."""
    try:
        examples = task.examples(raw.values)
        for example in examples:
            _check_text(example.text)
            if example.pair is not None:
                _check_text(example.pair)
    except Exception as error:  # a plugin's code may raise anything: it is a bad row with a place
        tally.add(RowPlace(name, located, origin, origin, raw.number), error)
        return []
    if not examples:
        tally.count(name, "rows that its `read` drops")
    return [_tokenisable(name, example, tally) for example in examples]


def _check_text(text: Any) -> None:
    if not isinstance(text, str):
        raise EmomtlError(f"the text is {type(text).__name__}, not a string")


def _tokenisable(name: str, example: Example, tally: Tally) -> Example:
    """The example with texts that a tokenizer takes; odd texts are counted."""
    text = _without_surrogates(name, example.text, tally)
    if not text.strip():
        tally.count(name, "empty texts")
    pair = example.pair
    if pair is not None:
        pair = _without_surrogates(name, pair, tally)
    return Example(text, example.label, pair, example.notes, example.group, example.rater)


def _without_surrogates(name: str, text: str, tally: Tally) -> str:
    """The text with lone surrogates replaced by U+FFFD: tokenizers refuse them."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        tally.count(name, "texts with lone surrogates (replaced)")
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _found_and_remedy(error: Exception, sensitive: bool) -> tuple[str, str]:
    """What a bad row's error says; of a sensitive task nothing that could quote the row."""
    if sensitive:
        found = f"does not read ({type(error).__name__})"
        return found, "the row is not shown: the task is sensitive"
    if isinstance(error, EmomtlError):
        return error.problems[0].found, error.problems[0].remedy
    if isinstance(error, KeyError):
        column = quoted(error.args[0] if error.args else "")
        return f"`read` found no column {column}", "look at the source's header"
    found = f"`read` raised {type(error).__name__}: {clean(str(error))}"
    return found, "mend the row, or the task's `read`"
