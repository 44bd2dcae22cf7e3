"""JSON Lines, read strictly and as a stream: one object a line, and every error names its line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

from emomtl.data.lines import Position, lines
from emomtl.data.source_file import STRICT, Heard, SourceFile
from emomtl.errors import EmomtlError, clean
from emomtl.safety.untrusted import TooLarge, loads

KNOWN_SHAPES = 1_000


def rows(file: SourceFile, heard: Heard = STRICT) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each object with its line; blank lines are passed over. Lone surrogates (`\\ud83d`) stay as they are.

    A later line that is no object, or lacks a column that the layout names, is `heard`; the first one is an error.
    """
    named: dict[tuple[str, ...], list[str]] = {}
    for line, values in _objects(file, heard):
        shape = tuple(values)
        if shape not in named:
            if len(named) == KNOWN_SHAPES:
                named.clear()
            try:
                names = file.names(shape, line)
            except EmomtlError as error:
                if not named:
                    raise
                heard.bad(line, partial(_made, error))
                continue
            named[shape] = names
        yield line, dict(zip(named[shape], values.values(), strict=True))


def names(file: SourceFile) -> list[str]:
    """The columns' names: the keys of the first object."""
    line, values = next(_objects(file, STRICT), (1, {}))
    return file.names(tuple(values), line)


def _objects(file: SourceFile, heard: Heard) -> Iterator[tuple[int, dict[str, Any]]]:
    at, seen = Position(), False
    for text in lines(file, "\n", at):
        if not text.isspace():
            try:
                values = _object(file, text, at.line)
            except EmomtlError as error:
                if not seen:  # a file of another kind altogether, such as a list over many lines
                    raise
                heard.bad(at.line, partial(_made, error))
            else:
                seen = True
                yield at.line, values
        at.next_row()


def _made(error: EmomtlError) -> EmomtlError:
    """An error that is made already: JSON cannot be refused without one."""
    return error


def _object(file: SourceFile, text: str, line: int) -> dict[str, Any]:
    try:
        value = loads(text, object_pairs_hook=_unique, parse_constant=_refused, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise _not_json(file, text, line, error) from error
    except ValueError as error:
        too_large = isinstance(error, TooLarge)
        found = "not JSON" if file.layout.sensitive and not too_large else clean(str(error))
        raise file.error(found, "a row is one flat object" if too_large else "", line) from error
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}.get(type(value), "a number")
        raise file.error(f"{kind} instead of an object", 'each line is one {"column": value, ...}', line)
    return value


def _not_json(file: SourceFile, text: str, line: int, error: json.JSONDecodeError) -> EmomtlError:
    if not text.endswith("\n") and (error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")):
        return file.error("the last line is cut off", "the file was not written or copied to its end", line)
    remedy = "one object a line; a list over many lines is .json" if line == 1 and text.strip() in ("[", "{") else ""
    return file.error(f"not JSON: {error.msg} at column {error.colno}", remedy, line)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key '{twice}' stands twice in one object")
    return values


def _refused(token: str) -> NoReturn:
    raise ValueError(f"{token} is not JSON; write null where a number is missing")


def _finite(token: str) -> float:
    number = float(token)
    if not math.isfinite(number):
        raise ValueError(f"{token} is too large for a number")
    return number
