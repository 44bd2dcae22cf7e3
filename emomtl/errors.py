"""Errors that a user can mend, said once: a place, what was found there, and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from emomtl.safety.escaping import printable
from emomtl.safety.redaction import masked

MAX_PLACE, MAX_PART = 400, 1_000
"""Characters of a place and of the other parts of a message: a path may have 4,096."""

MAX_WORD = 200
"""Characters of a word that is compared with others; the cost is the product of the lengths."""

MAX_KNOWN = 12
"""Known names that `suggest` lists."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: `place` (dotted key, file or row), `found`, and a `remedy`.

    `file` and `line` are where it stands, if that is known.
    """

    place: str
    found: str
    remedy: str = ""
    file: str = ""
    line: int | None = None

    def at(self, file: str, line: int | None = None) -> Problem:
        """The same problem with a file and a line, unless it has them already."""
        own_line = self.line if self.line is not None else line
        return replace(self, file=self.file or file, line=own_line)

    def __str__(self) -> str:
        """One line of bounded length, whatever names and cells it quotes."""
        file = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [_shortened(part, MAX_PLACE) for part in (file, self.place) if part]
        parts.append(_shortened(self.found, MAX_PART))
        remedy = f" ({_shortened(self.remedy, MAX_PART)})" if self.remedy else ""
        return printable(": ".join(parts) + remedy)


def _shortened(text: str, limit: int) -> str:
    # First mask secrets: half of a secret is not recognised, and would be shown.
    shown = masked(text)
    if len(shown) <= limit:
        return shown
    return f"{shown[: limit // 2]} … {shown[-limit // 2 :]}"


class EmomtlError(Exception):
    """Something that the user can mend; has every problem that was found, not only the first."""

    def __init__(self, *problems: Problem | str, remedy: str = "", place: str = "") -> None:
        self.problems = tuple(
            problem if isinstance(problem, Problem) else Problem(place, problem, remedy)
            for problem in problems
        )
        # The message is only made when it is read: most errors of rows are only counted.
        super().__init__()

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class AmbiguousLabel(EmomtlError):
    """A label that could mean two things: reading stops, whatever `on_bad_row` says.

    An option has to choose. `cell` is an example, which is not shown for a sensitive task.
    """

    def __init__(self, found: str, remedy: str, cell: str) -> None:
        self.cell = cell
        super().__init__(found, remedy=remedy)


class UnknownLabel(EmomtlError):
    """A label that a taxonomy does not have."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt word probably means; None if no name is near."""
    if len(word) > MAX_WORD:
        return None
    names = [name for name in sorted(set(known)) if len(name) <= MAX_WORD]
    matches = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return matches[0] if matches else None


def suggest(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown word: `did you mean 'joy'?`, else the names that are known."""
    names = sorted(set(known))
    near = closest(word, names)
    if near is not None:
        return f"did you mean '{near}'?"
    if not names:
        return "none is known"
    listed = ", ".join(clean(name) for name in names[:MAX_KNOWN])
    more = f", and {len(names) - MAX_KNOWN} more" if len(names) > MAX_KNOWN else ""
    return f"known: {listed}{more}"


def clean(text: str, limit: int = 80) -> str:
    """Text from outside for one line of a message: at most `limit` characters.

    Control characters are escaped and secrets are masked.
    """
    # Masked before it is cut, as in `_shortened`; not all of a very long text is looked at.
    shown = masked(text[: 2 * limit + 1_000])
    return printable(shown if len(text) <= limit else shown[: limit - 1] + "…")


def quoted(value: object) -> str:
    """A value from outside as Python writes it, for one line of a message."""
    return clean(repr(value))
