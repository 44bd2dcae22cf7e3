"""What is kept of a text that is too long where it is not the head: the tail, or both (Sun et al., 2019, section 5.3.1).

The paper's 128 + 382 tokens of 512 are `head_tokens = 128` and `max_tokens = 512`: two are special ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emomtl.contracts.encoder import Truncation


@dataclass(frozen=True)
class Fitted:
    """The ids of a text (or pair) with its special tokens, and their segments: what is read of a tokenizer's encoding."""

    ids: Sequence[int]
    type_ids: Sequence[int]


def reach(most: int, truncation: Truncation) -> int:
    """The characters of a text that are read at most: `most` of each end that is kept."""
    return 2 * most if truncation.keep == "head+tail" else most


def shortened(text: str, most: int, truncation: Truncation) -> str:
    """A text without the characters that are not read; where both ends are kept, a space stands for what was between them."""
    if truncation.keep == "head":
        return text[:most]
    if truncation.keep == "tail":
        return text[-most:]
    return text if len(text) <= 2 * most else f"{text[:most]} {text[-most:]}"


def fitted(encoding: Any, max_tokens: int, truncation: Truncation) -> Fitted | Any:
    """A whole encoding cut to `max_tokens`, special tokens included; one that is short enough is given back.

    Of a pair each text has the tokens that the tokenizer's `longest_first` would leave it; the first is cut as `truncation`
    says, the second, which may be a question or a definition, at its end.
    """
    if len(encoding.ids) <= max_tokens:
        return encoding
    ids, types, places = encoding.ids, encoding.type_ids, kept(encoding, max_tokens, truncation)
    return Fitted([i for place in places for i in ids[place]], [i for place in places for i in types[place]])


def kept(encoding: Any, max_tokens: int, truncation: Truncation) -> list[slice]:
    """The tokens of a whole encoding that are kept, in order; all of one that is short enough."""
    length, sides = len(encoding.ids), encoding.sequence_ids
    if length <= max_tokens:
        return [slice(0, length)]
    first, second = sides.count(0), sides.count(1)
    begin, after = sides.index(0) if first else 0, sides.index(1) if second else length
    room, beside = _longest_first(first, second, max_tokens - (length - first - second))
    head = truncation.of_head(room)
    return [
        slice(0, begin + head),
        slice(begin + first - (room - head), after + beside),
        slice(after + second, length),
    ]


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """The tokens that remain of two texts that have more than `room`: the longer one is cut until both fit, or both have half."""
    short = min(first, second, room // 2)
    return (short, room - short) if first <= second else (room - short, short)
