"""The tokens that a lexicon counts: words, placeholders, emoticons, emoji, runs of ! and ?."""

from __future__ import annotations

import re
import unicodedata

import regex

from emomtl.lexicon.scripts import JOINERS, SIGN, UNCUT

ASCII_WORD = "[a-z]+ (?: ' [a-z]+ )*"

# A word of any script, as Unicode segments words (UAX 29): letters, with their combining marks and
# invisible joiners, and inner apostrophes, Hebrew's geresh and gershayim, and Catalan's middle dot.
# Letter-like numbers (Roman, superscript) count.
LETTER = rf"[[\p{{L}}\p{{Nl}}\p{{No}}]--[{UNCUT}]]"
INSIDE = rf"[[\p{{L}}\p{{Nl}}\p{{No}}\p{{M}}{JOINERS}]--[{UNCUT}]]"
WORD = rf"{SIGN} | {LETTER} {INSIDE}* (?: ['·׳״] {LETTER} {INSIDE}* )*"

PATTERN = r"""
      \[\w+\]                # a placeholder such as [name]
    | </?3+                  # a heart, whole or broken
    | (?<!\w) [:;=x] ['`]? [-o^]? [)(\[\]dp/\\|*3]+ (?![\w/])   # an emoticon such as :-) ;p x'd
    | {word}
      # one emoji, without tones and joiners
    | [\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001f3fa\U0001f400-\U0001faff]
    | [!?]+
    """

ASCII_TOKEN = re.compile(PATTERN.replace("{word}", ASCII_WORD), re.VERBOSE)
"""For texts of ASCII alone: the same tokens in less time."""

TOKEN = regex.compile(PATTERN.replace("{word}", WORD), regex.VERBOSE | regex.VERSION1)


def tokens(text: str) -> list[str]:
    """The tokens of a text, lower-cased and in Unicode's form NFC, in order.

    Numbers and other punctuation are no tokens; nothing is stemmed. Scripts without spaces are not
    cut into words: each of their signs is a token, see `not_cut`.
    """
    lower = text.lower().replace("\u2019", "'")
    if lower.isascii():
        return ASCII_TOKEN.findall(lower)
    return [_plain(token) for token in TOKEN.findall(unicodedata.normalize("NFC", lower))]


def token_spans(text: str) -> list[tuple[str, int, int]]:
    """The same tokens with their first character in the text and the one after the last.

    A character whose lower case is longer stays as it is, so that places are those of the text.
    """
    characters = [_lower_if_as_long(character) for character in text]
    lower = "".join(characters).replace("\u2019", "'")
    pattern = ASCII_TOKEN if lower.isascii() else TOKEN
    return [(_plain(found[0]), found.start(), found.end()) for found in pattern.finditer(lower)]


def _plain(token: str) -> str:
    """A token in lower case and NFC, without soft hyphens, word joiners, and joiners at its end."""
    if token.isascii():
        return token
    visible = token.replace("\u00ad", "").replace("\u2060", "").rstrip("\u200c\u200d")
    return unicodedata.normalize("NFC", visible.lower())


def _lower_if_as_long(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character
