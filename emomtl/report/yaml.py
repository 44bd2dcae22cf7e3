"""Values as YAML that every reader reads back as they were: the metadata at the top of a model card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any


def front_matter(content: Mapping[str, Any]) -> str:
    """A line a key between two lines of dashes; ValueError for NaN and infinities."""
    return "\n".join(["---", *(f"{key}: {flow(value)}" for key, value in content.items()), "---"])


def flow(value: Any) -> str:
    """A value on one line: every text in double quotes, so that none is read as a number, a tag or the end of the metadata."""
    if isinstance(value, str):
        return f'"{"".join(map(_character, value))}"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(key))}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no figure")
        return _number(value)
    return json.dumps(value)


def _character(char: str) -> str:
    """A character between double quotes; JSON's pairs of surrogates would be two characters in YAML."""
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _number(value: float) -> str:
    """With a point, without which YAML 1.1 takes `1e-05` for a text."""
    digits, e, exponent = repr(value).partition("e")
    return f"{digits}{'' if '.' in digits else '.0'}{e}{exponent}"
