"""Single values of a label column in one canonical spelling, equal in every file format."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from emomtl.contracts.label_text import clean_label
from emomtl.errors import AmbiguousLabel, EmomtlError, quoted

INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,29})(\.0*)?", re.ASCII)
FRACTION = re.compile(r"-?(0|[1-9][0-9]{0,29})\.[0-9]{1,30}", re.ASCII)
LONG_NUMBER = 10**30
NULLS = frozenset({"nan", "NaN", "NAN", "null", "NULL", "<NA>", "NaT", "#N/A"})
"""What programs write for a missing value, and hardly anybody calls a label."""

LIST_LIKE = re.compile(
    r"\[.*\]|\{.*\}|\(\)|\(.*,.*\)|array\(.*\)|[01](\s*[,;\s]\s*[01])+", re.DOTALL
)
"""A list or table as Python, NumPy or JSON write it, or zeros and ones: `['joy']`, `1,0,0`."""

NUMBERS_JOINED = re.compile(r"-?[0-9]+(\s*[,;\s]\s*-?[0-9]+)+", re.ASCII)
"""Whole numbers in a row, `2,27`: several labels, a decimal comma, or a name."""

CHOICES = '`options.label_format` is "names", "indices", "multi-hot" or "distribution"'


def as_written(value: Any) -> str | None:
    """A single value as the text by which labels are told apart; None for no value, or NaN.

    3, 3.0 and "3.0" are "3", and 2.50 is "2.5". "03" stays, since it is a code.
    """
    if value is None:
        return None
    if isinstance(value, str):
        text = clean_label(value)
        if INTEGER.fullmatch(text):
            return str(int(text.partition(".")[0]))
        return repr(float(text)) if FRACTION.fullmatch(text) else text or None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, Decimal)):
        if value != value:  # NaN
            return None
        if not -LONG_NUMBER < value < LONG_NUMBER:
            problem = "the label is a number of more than 30 digits"
            raise EmomtlError(problem, remedy="labels are names or small numbers")
        return str(int(value)) if value == int(value) else repr(float(value))
    problem = f"the label is {type(value).__name__}, not a name or a number"
    raise EmomtlError(problem, remedy="look at `options.label`")


def is_number(text: str) -> bool:
    """Whether a value in its canonical spelling is a number."""
    return bool(INTEGER.fullmatch(text) or FRACTION.fullmatch(text))


def list_item(value: Any) -> str:
    """A value inside a list, in its canonical spelling."""
    if isinstance(value, (list, tuple, Mapping)):
        problem = "a list of lists or tables is no label"
        raise EmomtlError(problem, remedy="a list holds names or numbers")
    text = as_written(value)
    if text is None:
        problem = "a list of labels has an empty value"
        raise EmomtlError(problem, remedy="leave it out of the list")
    return text


def was_odd(cell: str, text: str) -> bool:
    """Whether cleaning changed more than white space at the ends and a number's form."""
    return not cell.isascii() and cell.strip() != text and not is_number(text)


def refuse_number_lists(values: Sequence[str]) -> None:
    """Refuse numbers that are hardly a list of labels: zeros and ones, repeated ones, fractions."""
    if len(values) < 2 or not all(
        is_number(value) or value in ("true", "false") for value in values
    ):
        return
    shown = f"[{', '.join(values[:8])}{', ...' if len(values) > 8 else ''}]"
    if set(values) <= {"0", "1", "true", "false"}:
        problem = "a list of zeros and ones could be one value a label, or names or positions"
        raise AmbiguousLabel(problem, CHOICES, shown)
    if len(set(values)) < len(values):
        problem = "a list in which numbers repeat is no list of different labels"
        raise AmbiguousLabel(problem, CHOICES, shown)
    if not all(INTEGER.fullmatch(value) for value in values):
        problem = "a list of fractions could be shares of the labels, or amounts"
        remedy = f'`head = {{ use = "regression" }}` for amounts; else {CHOICES}'
        raise AmbiguousLabel(problem, remedy, shown)


def parsed_list(text: str) -> list[str] | Mapping[Any, Any]:
    """A list or table that is written in a text, as JSON, Python or NumPy write it."""
    inner = text.removeprefix("array(").removesuffix(")") if text.startswith("array(") else text
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(inner)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, Mapping):
            return value
        if isinstance(value, (list, tuple, set)):
            return [list_item(item) for item in value]
        break
    # NumPy writes no commas, and 1,0,0 is neither JSON nor a list of Python
    separator = r"[,;]" if "," in inner or ";" in inner else r"\s+"
    pieces = re.split(separator, inner.strip("[](){} \t"))
    items = [as_written(piece.strip("'\" ")) for piece in pieces]
    return [item for item in items if item is not None]


def share_of(name: str, value: Any) -> float | None:
    """A share, a probability or votes: a finite number that is not negative; None for unknown."""
    text = as_written(value)
    if text is None:
        return None
    try:
        number = float({"true": "1", "false": "0"}.get(text, text))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        problem = f"label {quoted(name)} has the value {quoted(value)}"
        raise EmomtlError(problem, remedy="0, 1, a share, votes, or nothing")
    return number
