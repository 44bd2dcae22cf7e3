"""Scripts and their words: what a letter is, and which scripts put no spaces between words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import regex

UNCUT_SCRIPTS = ("Han", "Hiragana", "Thai", "Lao", "Khmer", "Myanmar")
"""Scripts without spaces between words; only a dictionary could segment them, and none is used."""

UNCUT = "".join(rf"\p{{{script}}}" for script in UNCUT_SCRIPTS)
"""Their letters and marks, for the inside of a character class of `regex`."""

SIGN = rf"(?=[[{UNCUT}]&&\p{{L}}])\X"
"""One character of such a script with its marks, a token of its own (UAX 29, WB999)."""

WORD_CHARACTER = rf"[[\w\p{{N}}]--[{UNCUT}]]"
"""One character of a word or number of any other script, combining marks and joiners included."""

JOINERS = "\u00ad\u200c\u200d\u2060"
"""Invisible characters in words: soft hyphen, zero-width joiners, word joiner (UAX 29, WB4)."""

MOST_TEXTS, MOST_CHARACTERS = 1_000, 500
"""Texts, evenly spaced, and characters of each, that are looked at."""

LETTER = regex.compile(r"\p{L}")
UNCUT_LETTER = regex.compile("|".join(rf"(?P<{script}>\p{{{script}}})" for script in UNCUT_SCRIPTS))


def not_cut(texts: Sequence[str]) -> str:
    """A note on texts whose letters are mostly of scripts without spaces; "" for all others."""
    letters = 0
    found: Counter[str] = Counter()
    for text in texts[:: max(1, len(texts) // MOST_TEXTS)]:
        part = text[:MOST_CHARACTERS]
        if part.isascii():
            letters += sum(map(str.isalpha, part))
            continue
        signs = LETTER.findall(part)
        letters += len(signs)
        found.update(match.lastgroup for sign in signs if (match := UNCUT_LETTER.match(sign)))
    if 2 * found.total() <= letters:
        return ""
    scripts = " and ".join(script for script, _ in found.most_common(2))
    share = found.total() / letters
    cause = "whose words are not cut (there are no spaces)"
    return f"{share:.0%} of the letters are {scripts}, {cause}: each sign counts as a word"
