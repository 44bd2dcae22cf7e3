"""JSON Lines, read strictly and as a stream: one object a line, and every error names its line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

from emomtl.data.lines import Position, lines
from emomtl.data.source_file import RawRow, SourceFile
from emomtl.errors import EmomtlError, clean
from emomtl.safety.untrusted import TooLarge, loads

KNOWN_KEYS = 1_000
"""Combinations of keys whose column names are remembered: an object may have any."""

JSON_TYPES = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}


def rows(file: SourceFile) -> Iterator[RawRow]:
    r"""Each object with its line. Blank lines are passed over, lone surrogates (`\ud83d`) stay.

    A line that is no object, or lacks a column that the layout names, is a bad row. The first line
    is an error: the file is of another kind, such as a list over many lines.
    """
    names_by_keys: dict[tuple[str, ...], list[str]] = {}
    position, is_first = Position(), True
    for text in lines(file, "\n", position):
        line = position.line
        position.next_row()
        if text.isspace():
            continue
        try:
            values = _object(file, text, line)
            keys = tuple(values)
            if keys not in names_by_keys:
                if len(names_by_keys) == KNOWN_KEYS:
                    names_by_keys.clear()
                names_by_keys[keys] = file.names(keys, line)
        except EmomtlError as error:
            if is_first:
                raise
            yield RawRow(line, {}, partial(_same, error))
            continue
        is_first = False
        yield RawRow(line, dict(zip(names_by_keys[keys], values.values(), strict=True)))


def names(file: SourceFile) -> list[str]:
    """The columns' names: the keys of the first object."""
    first = next(rows(file), None)
    return list(first.values) if first is not None else file.names((), 1)


def _same(error: EmomtlError) -> EmomtlError:
    """An error that is made already: JSON cannot be refused without one."""
    return error


def _object(file: SourceFile, text: str, line: int) -> dict[str, Any]:
    try:
        value = loads(
            text,
            object_pairs_hook=_without_double_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        raise _not_json(file, text, line, error) from error
    except ValueError as error:
        if isinstance(error, TooLarge):
            raise file.error(clean(str(error)), "a row is one flat object", line) from error
        found = "not JSON" if file.layout.sensitive else clean(str(error))
        raise file.error(found, line=line) from error
    if not isinstance(value, dict):
        kind = JSON_TYPES.get(type(value), "a number")
        remedy = 'each line is one {"column": value, ...}'
        raise file.error(f"{kind} instead of an object", remedy, line)
    return value


def _not_json(file: SourceFile, text: str, line: int, error: json.JSONDecodeError) -> EmomtlError:
    at_end = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
    if at_end and not text.endswith("\n"):
        remedy = "the file was not written or copied to its end"
        return file.error("the last line is cut off", remedy, line)
    remedy = ""
    if line == 1 and text.strip() in ("[", "{"):
        remedy = "one object a line; a list over many lines is .json"
    return file.error(f"not JSON: {error.msg} at column {error.colno}", remedy, line)


def _without_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key '{key}' stands twice in one object")
        values[key] = value
    return values


def _refuse_constant(token: str) -> NoReturn:
    """NaN and Infinity, which Python's parser takes and JSON does not have."""
    raise ValueError(f"{token} is not JSON; write null where a number is missing")


def _finite(token: str) -> float:
    number = float(token)
    if not math.isfinite(number):
        raise ValueError(f"{token} is too large for a number")
    return number
