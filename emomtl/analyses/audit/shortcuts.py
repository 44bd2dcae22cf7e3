"""Lexical shortcuts: words and marks whose presence alone predicts a label.

For each word or mark and label the rows of train are counted in a table of four cells (has it or
not, has the label or not); z is the signed root of Pearson's chi-squared of that table. A shortcut
has at least SUPPORT rows and SHARE of all, z of at least Z (by chance that happens once in 10^9
tables), the label in at least TOLD of its rows, and LIFT times as often there as elsewhere in
train. What is no word (emoticons, links, mentions, hashtags, subreddits, marks in brackets, emoji,
runs of punctuation) is a warning: it seldom carries the meaning that a label asks for. Words are
noted: most do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

from emomtl.analyses.audit.findings import Finding, Report
from emomtl.lexicon.scripts import SIGN, WORD_CHARACTER

if TYPE_CHECKING:
    from emomtl.analyses.audit.rows import Answers, Group, Rows

SUPPORT = 30
SHARE = 0.0002
Z = 6.0
TOLD = 0.8
LIFT = 1.5
NAMED = 10
"""Shortcuts that a sentence or a task's table names, the strongest of each kind."""

LINK = re.compile(r"(?:https?://|www\.)\S+")
MENTION = regex.compile(r"(?<!\w)@\w+")
KINDS = {
    "link": r"<link>",
    "mention": r"<mention>",
    "emoticon": (
        r"[<>]?[:;=][-o^'*]?[)(DPpOo/\\|\]\[}{*3]+(?!\w)|[xX][dD]+(?!\w)|<3|[(\[][-o^']?[:;=](?!\w)|\^[_.]?\^"
    ),
    "subreddit": r"(?<!\w)/?[ru]/\w+",
    "hashtag": r"#\w+",
    "mark": r"\[\w+\]|&\w+;",
    "emoji": "[\u2600-\u27bf\U0001f300-\U0001faff]",
    "punctuation": r"[!?.]{2,}|[!?]",
    "word": r"\w+(?:['’]\w+)?",
}
"""What a piece of text is, by the first pattern that fits; links and mentions count as one each,
whatever they say.
"""

ASCII_PIECES = re.compile("|".join(f"(?:{pattern})" for pattern in KINDS.values()))
"""For texts of ASCII alone: the same pieces in less time."""

# Python's own \w cuts words at combining marks. Scripts without spaces are not cut: each of their
# signs is a word.
WORDS = KINDS | {"word": f"{SIGN}|{WORD_CHARACTER}+(?:['’]{WORD_CHARACTER}+)?"}
PIECES = regex.compile("|".join(f"(?:{pattern})" for pattern in WORDS.values()), regex.VERSION1)
WHOLE = {kind: regex.compile(pattern, regex.VERSION1) for kind, pattern in WORDS.items()}


@dataclass(frozen=True)
class Shortcut:
    """A piece of text that predicts a label: its kind, rows that have it, the label's share in them
    and in train, and z.
    """

    piece: str
    kind: str
    label: str
    rows: int
    told: float
    share: float
    z: float


def shortcuts(groups: Sequence[Group], report: Report) -> None:
    """Add the shortcuts in each task's training rows; of a sensitive task only how many there are
    of each kind.
    """
    table: list[list[Any]] = []
    for group in groups:
        if "train" not in group.rows:
            continue
        for answers in group.answers:
            if answers.form == "numbers":
                continue
            found = find_shortcuts(group.rows["train"], answers)
            words = [one for one in found if one.kind == "word"]
            marks = [one for one in found if one.kind != "word"]
            for kind, some in (("surface-shortcuts", marks), ("telling-words", words)):
                if some:
                    report.findings.append(
                        Finding(kind, answers.task, _said(some, group.sensitive), len(some))
                    )
            shown = () if group.sensitive else [*marks[:NAMED], *words[:NAMED]]
            table += [
                [answers.task, one.piece, one.kind, one.label, one.rows, one.told, one.share, one.z]
                for one in shown
            ]
    columns = ["task", "piece", "kind", "label", "rows", "label in them", "label in train", "z"]
    about = (
        "The strongest words and marks that predict a label by themselves; of a sensitive task none"
        " is shown."
    )
    report.table("Lexical shortcuts", columns, table, about)


def find_shortcuts(rows: Rows, answers: Answers) -> list[Shortcut]:
    """The shortcuts of a task, highest z first."""
    holds = answers.holds("train")[answers.present["train"]]
    n, each = len(holds), holds.sum(axis=0).tolist()
    least = max(SUPPORT, SHARE * n)
    counts, by_label = _count(rows, answers)
    found = []
    for piece, having in counts.items():
        if having < least or (kind := _kind(piece)) is None:
            continue
        for place, label in enumerate(answers.names):
            both = by_label[place][piece]
            told, outside = both / having, (each[place] - both) / max(1, n - having)
            if (
                told >= TOLD
                and told >= LIFT * outside
                and (z := _z(both, having, each[place], n)) >= Z
            ):
                found.append(Shortcut(piece, kind, label, having, told, each[place] / n, z))
    return sorted(found, key=lambda one: (-one.z, one.piece))


def _count(rows: Rows, answers: Answers) -> tuple[Counter[str], list[Counter[str]]]:
    """In how many labelled rows each piece stands, in all and by label."""
    holds, present = answers.holds("train"), answers.present["train"]
    counts: Counter[str] = Counter()
    by_label: list[Counter[str]] = [Counter() for _ in answers.names]
    for row in np.flatnonzero(present).tolist():
        pieces = set(_pieces(rows.whole(row)))
        counts.update(pieces)
        for place in np.flatnonzero(holds[row]).tolist():
            by_label[place].update(pieces)
    return counts, by_label


def _pieces(text: str) -> Iterator[str]:
    """The pieces of a text in lower case, emoticons as they are written."""
    if "www." in text or "http" in text:
        text = LINK.sub(" <link> ", text)
    if "@" in text:
        text = MENTION.sub(" <mention> ", text)
    found = (ASCII_PIECES if text.isascii() else PIECES).findall(text)
    return (piece.lower() if piece[0].isalnum() or piece[0] in "#/" else piece for piece in found)


def _kind(piece: str) -> str | None:
    return next((kind for kind, pattern in WHOLE.items() if pattern.fullmatch(piece)), None)


def _z(both: int, having: int, holding: int, n: int) -> float:
    """The root of Pearson's chi-squared of a table of four cells; rows that have the piece, the
    label, and both.
    """
    without, lacking = n - having, n - holding
    determinant = both * n - having * holding
    return float(determinant * (n / max(1, having * holding * without * lacking)) ** 0.5)


def _said(found: Sequence[Shortcut], sensitive: bool) -> str:
    if sensitive:
        kinds = Counter(one.kind for one in found)
        return (
            f"{len(found):,}, not named as the task is sensitive:"
            f" {', '.join(f'{kind} {n:,}' for kind, n in kinds.items())}"
        )
    named = ", ".join(
        f"{one.piece} ({one.label} in {one.told:.0%} of {one.rows:,})" for one in found[:NAMED]
    )
    return f"{len(found):,}: {named}" + (", ..." if len(found) > NAMED else "")
