"""Lengths of texts in words and characters, and texts that are odd: empty, or with broken
characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emomtl.analyses.audit.duplicates import EXAMPLES
from emomtl.analyses.audit.findings import Example, Finding, Report

if TYPE_CHECKING:
    from emomtl.analyses.audit.rows import Group

WORDS = {"5%": 5, "median": 50, "95%": 95, "99%": 99, "longest": 100}
CHARACTERS = {"median": 50, "95%": 95, "longest": 100}
"""The percentiles that the table shows."""

BROKEN = re.compile(
    "\ufffd|[\u00c2-\u00df][\u0080-\u00bf]|[\u00e0-\u00ef][\u0080-\u00bf]{2}|\u00e2\u20ac|[\u0080-\u009f]"
)
"""The replacement character, UTF-8 that was read as Latin-1 or Windows-1252 (such as Ã© for é), and
C1 control characters.
"""


def lengths(groups: Sequence[Group], report: Report) -> None:
    """Add a table of lengths by split, and findings of empty and broken texts."""
    rows = []
    for group in groups:
        for split, part in group.rows.items():
            characters = np.fromiter(map(len, part.texts), np.int64, len(part))
            words = np.fromiter((len(text.split()) for text in part.texts), np.int64, len(part))
            shown = [np.percentile(words, list(WORDS.values()), method="lower")]
            shown += [np.percentile(characters, list(CHARACTERS.values()), method="lower")]
            rows.append([group.name, split, *np.concatenate(shown).astype(int).tolist()])
            empty = np.flatnonzero(words == 0)
            broken = [
                row
                for row, text in enumerate(part.texts)
                if not text.isascii() and BROKEN.search(text)
            ]
            for what, found in (("are empty", empty.tolist()), ("have broken characters", broken)):
                if found:
                    said = f"{len(found):,} of {len(part):,} {split} texts {what}"
                    examples = [
                        Example((group.place(split, row),), text=group.shown(split, row))
                        for row in found[:EXAMPLES]
                    ]
                    report.findings.append(
                        Finding("odd-texts", group.name, said, len(found), examples)
                    )
    columns = [
        "tasks",
        "split",
        *(f"words, {end}" for end in WORDS),
        *(f"characters, {end}" for end in CHARACTERS),
    ]
    report.table("Lengths", columns, rows)
