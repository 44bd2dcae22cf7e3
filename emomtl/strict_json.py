"""JSON from outside: parsed only where what it would become is in proportion to what it is."""

from __future__ import annotations

import json
import re
from typing import Any

SHORT = 1_000_000
"""Bytes or characters of a JSON text that is parsed in any case."""

MOST_VALUES = 500_000
"""Commas, lists and objects of a longer one. Each may cost 80 bytes of memory for two of text."""

TEXT = re.compile(r'"(?>[^"\\]++|\\.)*+"?', re.DOTALL)
MARKS = ",[{"


def loads(text: str | bytes, **options: Any) -> Any:
    """The value of a JSON text, as `json.loads` gives it; ValueError for what is none, nested too deep, or too many values."""
    if len(text) > SHORT:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        if sum(map(decoded.count, MARKS)) > MOST_VALUES and sum(map(TEXT.sub("", decoded).count, MARKS)) > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values in {len(text) / 1e6:,.0f} MB")
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("nested too deep to be read") from None
