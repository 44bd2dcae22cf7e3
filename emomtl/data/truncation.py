"""What is kept of a text that is too long where it is not the head: the tail, or both.

Sun et al. (2019), "How to Fine-Tune BERT for Text Classification?", section 5.3.1. Their 128 + 382
tokens of 512 are `head_tokens = 128` and `max_tokens = 512`: two are special ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emomtl.contracts.encoder import Truncation


@dataclass(frozen=True)
class Fitted:
    """The ids of a text (or pair) with its special tokens, and their segments."""

    ids: Sequence[int]
    type_ids: Sequence[int]


def longest_read(most: int, truncation: Truncation) -> int:
    """The characters of a text that are read at most: `most` of each end that is kept."""
    return 2 * most if truncation.keep == "head+tail" else most


def shortened(text: str, most: int, truncation: Truncation) -> str:
    """A text without the characters that are not read.

    Where both ends are kept, a space stands for what was between them.
    """
    if truncation.keep == "head":
        return text[:most]
    if truncation.keep == "tail":
        return text[-most:]
    return text if len(text) <= 2 * most else f"{text[:most]} {text[-most:]}"


def fitted(encoding: Any, max_tokens: int, truncation: Truncation) -> Fitted | Any:
    """A whole encoding cut to `max_tokens`, special tokens included; a short one stays as it is.

    Of a pair each text has the tokens that the tokenizer's `longest_first` would leave it. The
    first is cut as `truncation` says, the second, which may be a question, at its end.
    """
    if len(encoding.ids) <= max_tokens:
        return encoding
    all_ids, all_types = encoding.ids, encoding.type_ids  # each makes a list anew when asked
    ids: list[int] = []
    types: list[int] = []
    for part in kept_slices(encoding, max_tokens, truncation):
        ids += all_ids[part]
        types += all_types[part]
    return Fitted(ids, types)


def kept_slices(encoding: Any, max_tokens: int, truncation: Truncation) -> list[slice]:
    """The tokens of a whole encoding that are kept, in order; all of one that is short enough."""
    length, sides = len(encoding.ids), encoding.sequence_ids
    if length <= max_tokens:
        return [slice(0, length)]
    first, second = sides.count(0), sides.count(1)
    first_start = sides.index(0) if first else 0
    second_start = sides.index(1) if second else length
    special = length - first - second
    first_kept, second_kept = _longest_first(first, second, max_tokens - special)
    head = truncation.of_head(first_kept)
    tail = first_kept - head
    return [
        slice(0, first_start + head),
        slice(first_start + first - tail, second_start + second_kept),
        slice(second_start + second, length),
    ]


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """The tokens that remain of two texts with more than `room`.

    The longer one is cut until both fit, or both have half.
    """
    shorter = min(first, second, room // 2)
    return (shorter, room - shorter) if first <= second else (room - shorter, shorter)
