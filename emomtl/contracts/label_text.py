"""How a label is spelled: the form in which it is kept, and that in which two are nearly equal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

NEVER_SEEN = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad"))
"""Zero-width space, word joiner, byte-order mark and soft hyphen: they mean nothing in a label. The
joiners U+200C and U+200D do (in emoji and Indic scripts), so those are only trimmed."""


def clean_label(text: str) -> str:
    """The label in NFC, without invisible characters: meaningless ones, all at the ends."""
    if text.isascii() and text.isprintable():
        return text.strip()
    composed = unicodedata.normalize("NFC", text).translate(NEVER_SEEN)
    start, end = 0, len(composed)
    while start < end and _is_invisible(composed[start]):
        start += 1
    while end > start and _is_invisible(composed[end - 1]):
        end -= 1
    return composed[start:end]


def spelling_key(label: str) -> str:
    """Equal for labels that differ only by case, punctuation, spaces or width."""
    folded = unicodedata.normalize("NFKC", clean_label(label)).casefold()
    key = "".join(character for character in folded if character.isalnum() or _is_mark(character))
    return key or folded


def near_spellings(labels: Iterable[str]) -> list[list[str]]:
    """Labels that differ only in spelling, as groups of two or more, in the given order.

    Numbers are left out: the sign of `-1`, and the point of `1.5`, are no punctuation.
    """
    groups: dict[str, list[str]] = {}
    for label in labels:
        if not label.lstrip("+-").replace(".", "", 1).isdecimal():
            groups.setdefault(spelling_key(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _is_invisible(character: str) -> bool:
    """White space, and what Unicode calls control (Cc) and format (Cf) characters."""
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def _is_mark(character: str) -> bool:
    """Vowel signs and accents of many scripts (M) and emoji (So): both tell labels apart."""
    return unicodedata.category(character) in ("Mn", "Mc", "Me", "So")
