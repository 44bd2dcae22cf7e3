"""Single values of a label column, written so that equal ones are equal in every format."""

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

LIST_LIKE = re.compile(r"\[.*\]|\{.*\}|\(\)|\(.*,.*\)|array\(.*\)|[01](\s*[,;\s]\s*[01])+", re.DOTALL)
"""A list or table as Python, NumPy or JSON write it, or zeros and ones: `['joy']`, `1,0,0`."""

NUMBERS_JOINED = re.compile(r"-?[0-9]+(\s*[,;\s]\s*-?[0-9]+)+", re.ASCII)
"""Whole numbers in a row, `2,27`: several labels, a decimal comma, or a name."""

CHOICES = '`options.label_format` is "names", "indices", "multi-hot" or "distribution"'


def mean_shares(values: Sequence[Any], labels: tuple[str, ...] | None, one_vote: bool = False) -> dict[str, float | None]:
    """The mean share of each label over people; None where nobody said anything of it.

    With `one_vote` whoever names several labels gives each of them a part of one vote.
    """
    rows = [_as_shares(value, one_vote) for value in values]
    whole = [isinstance(value, Mapping) for value in values]
    names = labels or tuple(dict.fromkeys(name for row in rows for name in row))
    means: dict[str, float | None] = {}
    for name in names:
        # Who names labels says of every other one that it does not hold; who gives a table, only
        # of those in it.
        said = [row.get(name, None if table else 0.0) for row, table in zip(rows, whole, strict=True)]
        known = [share for share in said if share is not None]
        means[name] = math.fsum(known) / len(known) if known else None
    return means


def _as_shares(value: Any, one_vote: bool) -> dict[str, float | None]:
    """A label value as shares: 1 for each label that it names, or all of them together 1."""
    if isinstance(value, Mapping):
        return dict(value)
    names = [value] if isinstance(value, str) else list(value)
    return dict.fromkeys(names, 1 / len(names) if one_vote and names else 1.0)


def as_written(value: Any) -> str | None:
    """A single value as the text by which labels are told apart; None where there is none, or NaN.

    3, 3.0 and "3.0" are "3"; 2.50 is "2.5"; "03" stays, as it is a code.
    """
    if value is None or isinstance(value, str):
        text = "" if value is None else clean_label(value)
        if INTEGER.fullmatch(text):
            return str(int(text.partition(".")[0]))
        return repr(float(text)) if FRACTION.fullmatch(text) else text or None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, Decimal)):
        if value != value:
            return None
        if not -LONG_NUMBER < value < LONG_NUMBER:
            raise EmomtlError(
                "the label is a number of more than 30 digits",
                remedy="labels are names or small numbers",
            )
        return str(int(value)) if value == int(value) else repr(float(value))
    raise EmomtlError(
        f"the label is {type(value).__name__}, not a name or a number",
        remedy="look at `options.label`",
    )


def is_number(text: str) -> bool:
    """Whether a value, as it is written, is a number."""
    return bool(INTEGER.fullmatch(text) or FRACTION.fullmatch(text))


def list_item(value: Any) -> str:
    """A value in a list."""
    if isinstance(value, (list, tuple, Mapping)):
        raise EmomtlError("a list of lists or tables is no label", remedy="a list holds names or numbers")
    text = as_written(value)
    if text is None:
        raise EmomtlError("a list of labels has an empty value", remedy="leave it out of the list")
    return text


def was_odd(cell: str, text: str) -> bool:
    """Whether cleaning changed more than white space at the ends and a number's form."""
    return not cell.isascii() and cell.strip() != text and not is_number(text)


def refuse_number_lists(values: Sequence[str]) -> None:
    """Refuse numbers that are hardly a list of labels: zeros and ones, repeated ones, fractions."""
    if len(values) < 2 or not all(is_number(value) or value in ("true", "false") for value in values):
        return
    shown = f"[{', '.join(values[:8])}{', ...' if len(values) > 8 else ''}]"
    if set(values) <= {"0", "1", "true", "false"}:
        raise AmbiguousLabel(
            "a list of zeros and ones could be one value a label, or names or positions",
            CHOICES,
            shown,
        )
    if len(set(values)) < len(values):
        raise AmbiguousLabel("a list in which numbers repeat is no list of different labels", CHOICES, shown)
    if not all(INTEGER.fullmatch(value) for value in values):
        remedy = f'`head = {{ use = "regression" }}` for amounts; else {CHOICES}'
        raise AmbiguousLabel("a list of fractions could be shares of the labels, or amounts", remedy, shown)


def parsed_list(text: str) -> Any:
    """A list or table that is written in a text, as JSON, Python or NumPy write it."""
    inner = text.removeprefix("array(").removesuffix(")") if text.startswith("array(") else text
    found: Any = None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(inner)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        break
    if isinstance(found, Mapping):
        return found
    if isinstance(found, (list, tuple, set)):
        return [list_item(value) for value in found]
    between = r"[,;]" if "," in inner or ";" in inner else r"\s+"
    pieces = re.split(between, inner.strip("[](){} \t"))
    return [part for piece in pieces if (part := as_written(piece.strip("'\" ")))]


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
        raise EmomtlError(
            f"label {quoted(name)} has the value {quoted(value)}",
            remedy="0, 1, a share, votes, or nothing",
        )
    return number
