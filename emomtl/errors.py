"""What a user can mend, said once: a place, what was found there, and what would have worked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from emomtl.safety.escaping import printable
from emomtl.safety.redaction import masked

LONG_PLACE, LONG_PART = 400, 1_000
"""Characters that are shown of a place, and of what was found there: a path may have 4,096, a task's name any number."""

LONG_WORD = 200
"""Characters of a word that is still compared with others: that costs the product of their lengths."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: `place` (dotted key, file or row), `found`, `remedy`, and the line where one is known."""

    place: str
    found: str
    remedy: str = ""
    file: str = ""
    line: int | None = None

    def at(self, file: str, line: int | None = None) -> Problem:
        """The same problem, with the file and the line in which it stands."""
        return replace(self, file=self.file or file, line=self.line if self.line is not None else line)

    def __str__(self) -> str:
        """One line, of bounded length whatever names and cells it speaks of."""
        where = self.file + (f":{self.line}" if self.line is not None else "")
        head = [_shortened(part, LONG_PLACE) for part in (where, self.place) if part]
        tail = f" ({_shortened(self.remedy, LONG_PART)})" if self.remedy else ""
        return printable(": ".join([*head, _shortened(self.found, LONG_PART)]) + tail)


def _shortened(text: str, most: int) -> str:
    shown = masked(text)  # before it is cut: a secret that is cut is one no longer, and would stay
    return shown if len(shown) <= most else f"{shown[: most // 2]} … {shown[-most // 2 :]}"


class EmomtlError(Exception):
    """Something that the user can mend; carries every problem that was found, not only the first."""

    def __init__(self, *problems: Problem | str, remedy: str = "", place: str = "") -> None:
        self.problems = tuple(p if isinstance(p, Problem) else Problem(place, p, remedy) for p in problems)
        super().__init__()  # the message is made when it is read: most bad rows are only counted

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class AmbiguousLabel(EmomtlError):
    """A label that could mean two things: reading stops until an option chooses, whatever `on_bad_row` says.

    `cell` is an example, which is not shown of a sensitive task.
    """

    def __init__(self, found: str, remedy: str, cell: str) -> None:
        self.cell = cell
        super().__init__(found, remedy=remedy)


class UnknownLabel(EmomtlError):
    """A label that a taxonomy does not have."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt word probably means; None where none is near, and for long words."""
    names = [name for name in sorted(set(known)) if len(name) <= LONG_WORD]
    if len(word) > LONG_WORD:
        return None
    return next(iter(difflib.get_close_matches(word, names, n=1, cutoff=0.6)), None)


def suggest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'joy'?` for a misspelt word, else what is known (at most twelve names); long words are not compared."""
    names = sorted(set(known))
    near = closest(word, names)
    if near is not None:
        return f"did you mean '{near}'?"
    if not names:
        return "none is known"
    shown = ", ".join(clean(name) for name in names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
    return f"known: {shown}"


def clean(text: str, limit: int = 80) -> str:
    """Text from outside, fit for one line of a message: control characters escaped, secrets masked, cut at `limit` characters."""
    shown = masked(text[: 2 * limit + 1_000])  # a secret that is cut is one no longer, and would stay
    cut = shown if len(text) <= limit else shown[: limit - 1] + "…"
    return printable(cut)


def quoted(value: object) -> str:
    """A value from outside as Python writes it, fit for one line of a message as `clean` makes a text."""
    return clean(repr(value))
