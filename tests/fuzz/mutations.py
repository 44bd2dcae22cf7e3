"""Inputs made of real ones: bytes flipped, lines cut, parts repeated, nested or put elsewhere; and
JSON with odd values in it.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1,
        2**31,
        2**70,
        0.5,
        -1e308,
        "",
        "x",
        "../../x",
        "/etc/passwd",
        "a\0b",
        "\ud800",
        "\u202e\x1b[31m",
    ),
    *("x" * 5_000, [], {}, [None], [[]], {"": 0}, [1, "a", {}], "9" * 400),
)


def mutated(seed: bytes, draw: random.Random, words: Sequence[bytes], times: int) -> bytes:
    """The input after some random changes."""
    data = bytearray(seed)
    for _ in range(times):
        at, to = sorted((draw.randrange(len(data) + 1), draw.randrange(len(data) + 1)))
        kind = draw.randrange(8)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at:at] = draw.choice(words) * draw.choice((1, 1, 2, 100))
        elif kind == 2:
            del data[at : min(to, at + draw.choice((1, 4, 64, 10**6)))]
        elif kind == 3:
            data[at:at] = data[at : min(to, at + 200)] * draw.choice((1, 2, 50))
        elif kind == 4:
            data[at : at + 1] = bytes([draw.choice((0, 1, 127, 128, 255, 10, 13, 34, 44, 92))])
        elif kind == 5:
            lines = bytes(data).split(b"\n")
            first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
            lines[first], lines[second] = lines[second], lines[first]
            data = bytearray(b"\n".join(lines))
        elif kind == 6:
            data = data[:at] if draw.random() < 0.3 else data
        else:
            data[at : at + 4] = draw.choice((b"\xff\xff\xff\x7f", b"\0\0\0\0", b"9999", b"-1e9"))
    return bytes(data)


def odd_json(seed: bytes, draw: random.Random, times: int) -> bytes:
    """The JSON with some of its values replaced by odd ones, taken out, or put twice."""
    content = json.loads(seed)
    for _ in range(times):
        holders = [one for one in _every(content) if one and isinstance(one, (dict, list))]
        if not holders:
            break
        holder: Any = draw.choice(holders)
        key = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        kind = draw.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[draw.choice(("", "x", "auto_map", "a\0", "\u202e"))] = holder.pop(key)
        elif kind == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(draw.choice(ODD))
    return json.dumps(content).encode()


def _every(content: Any) -> list[Any]:
    found, todo = [], [content]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += (
            list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        )
    return found
