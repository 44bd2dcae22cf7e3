"""From a text to the tokens that a lexicon counts: words, placeholders, emoticons, emoji, and runs of ! and ?."""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"""
      \[\w+\]                                                            # a placeholder such as [name]
    | </?3+                                                              # a heart, whole or broken
    | (?<!\w) [:;=x] ['`]? [-o^]? [)(\[\]dp/\\|*3]+ (?![\w/])           # an emoticon such as :-) ;p x'd
    | [^\W\d_]+ (?: ' [^\W\d_]+ )*                                       # a word of any script, with inner apostrophes
    | [\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001f3fa\U0001f400-\U0001faff]   # one emoji, without tones and joiners
    | [!?]+
    """,
    re.VERBOSE,
)


def tokens(text: str) -> list[str]:
    """The tokens of a text, lower-cased, in order. Numbers and other punctuation are no tokens; nothing is stemmed."""
    return TOKEN.findall(text.lower().replace("\u2019", "'"))


def token_spans(text: str) -> list[tuple[str, int, int]]:
    """The same tokens with their first character in the text and the one after the last.

    A character that lower case would make longer stays as it is, so that places are those of the text.
    """
    lower = "".join(small if len(small := one.lower()) == 1 else one for one in text).replace("\u2019", "'")
    return [(found[0], found.start(), found.end()) for found in TOKEN.finditer(lower)]
