"""What is wrong with the data of a TOML file: values that no key takes, and errors of pydantic."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from emomtl.errors import Problem, clean, closest
from emomtl.manifest.lines import MAX_DEPTH
from emomtl.manifest.places import Parts, dotted
from emomtl.manifest.wording import Node, expected, key_remedy, node_at
from emomtl.safety.redaction import is_secret

MAX_PROBLEMS = 100
"""Problems of a file that are described; others are counted."""

SECRET_REMEDY = (
    "put it into the environment (HF_TOKEN, WANDB_API_KEY), where whoever needs it looks, and "
    "revoke it if it was shared"
)
NUMBER = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\s*")
BOOLEAN = re.compile(r"\s*(true|false)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong at a place."""

    parts: Parts
    found: str
    remedy: str = ""

    def problem(self, table: str = "") -> Problem:
        """The fault as a problem; its place is below `table`."""
        place = dotted(self.parts)
        separator = "." if table and place and not place.startswith("[") else ""
        return Problem(table + separator + place, self.found, self.remedy)


def describe(value: Any) -> str:
    """A value in words: `the text '2e-5'`, `a list of 3`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text '{clean(value, 40)}'" if value else "an empty text"
    if isinstance(value, int):
        if not _is_usable(value):
            return "a whole number outside the range of 64 bits"
        return f"the whole number {value}"
    if isinstance(value, float):
        return f"the number {value!r}"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    return f"the date or time {value}"


def unusable_values(data: Mapping[str, Any], schema: Node) -> list[Fault]:
    """Values that TOML can write and no key takes.

    These are NaN and infinity, dates, numbers of 65 bits, deep nesting, and secrets.
    """
    faults: dict[Parts, Fault] = {}
    stack: list[tuple[Parts, Any]] = [((), data)]
    while stack:
        above, container = stack.pop()
        if len(above) >= MAX_DEPTH:
            place = above[:4]
            faults[place] = Fault(place, "is nested too deeply", f"at most {MAX_DEPTH} levels")
            continue
        is_table = isinstance(container, Mapping)
        items: Iterable[tuple[Any, Any]] = container.items() if is_table else enumerate(container)
        for key, value in items:
            place = (*above, key)
            if isinstance(value, (dict, list, tuple)):
                stack.append((place, value))
            elif isinstance(value, str) and is_secret(value, _last_key(place)):
                found = "looks like a secret, which a run would copy and share"
                faults[place] = Fault(place, found, SECRET_REMEDY)
            elif not _is_usable(value):
                wanted = expected(schema, node_at(schema, place))
                wanted = wanted.replace("another value", "a finite number, text, true or false")
                faults[place] = Fault(place, f"found {describe(value)}", f"expected {wanted}")
    return list(faults.values())


def _last_key(parts: Parts) -> str:
    """The key of a value, or of the list that it is in."""
    keys = [part for part in parts if isinstance(part, str)]
    return keys[-1] if keys else ""


def _is_usable(value: Any) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str)


def validation_faults(
    error: ValidationError, data: Mapping[str, Any], schema: Node
) -> tuple[list[Fault], int]:
    """The errors of a validation, at most `MAX_PROBLEMS`, and how many there are.

    The errors of all branches of a union are one fault.
    """
    faults: dict[tuple[Parts, str], Fault | None] = {}
    unions: set[Parts] = set()
    for detail in error.errors(include_url=False):
        loc, kind = detail["loc"], detail["type"]
        parts, value = _value_at(data, loc)
        if kind == "missing" and parts == loc[:-1] and isinstance(loc[-1], str):
            parts = loc
        elif parts != loc and loc[-1] != "[key]":
            unions.add(parts)  # the rest of `loc` names a branch
        is_union = parts in unions
        key = (parts, "" if is_union else kind)
        if key not in faults:
            is_shown = len(faults) < MAX_PROBLEMS
            faults[key] = _fault(detail, parts, value, schema, is_union) if is_shown else None
    return [fault for fault in faults.values() if fault is not None], len(faults)


def _value_at(data: Any, loc: Sequence[str | int]) -> tuple[Parts, Any]:
    """How far a location of pydantic leads into the data, and the value there."""
    parts: list[str | int] = []
    for part in loc:
        has_key = isinstance(data, Mapping) and part in data
        has_item = isinstance(data, (list, tuple)) and isinstance(part, int) and part < len(data)
        if not has_key and not has_item:
            break
        data = data[part]
        parts.append(part)
    return tuple(parts), data


def _fault(detail: ErrorDetails, parts: Parts, value: Any, schema: Node, is_union: bool) -> Fault:
    """One error of pydantic in our words."""
    kind, node = detail["type"], node_at(schema, parts)
    if is_union:
        return Fault(parts, f"found {describe(value)}", _value_remedy(value, schema, node, detail))
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return Fault(parts, "unknown key", key_remedy(str(parts[-1]), node_at(schema, parts[:-1])))
    if parts == ("tasks",) and (kind == "missing" or value == {}):
        remedy = "a table such as [tasks.NAME]; `emomtl tasks` lists what is installed"
        return Fault(parts, "no task", remedy)
    if kind == "missing":
        description = _description(schema, parts)
        remedy = f"expected {expected(schema, node)}" + (f": {description}" if description else "")
        return Fault(parts, "missing key", remedy)
    if kind == "value_error":  # of our own validators
        return Fault(parts, clean(str(detail.get("ctx", {}).get("error", "is not usable")), 300))
    if detail["loc"][-1:] == ("[key]",):
        found = f"is not usable as a name: '{clean(str(detail['input']), 40)}'"
        wanted = expected(schema, {"type": "string", **detail.get("ctx", {})})
        return Fault(parts, found, f"expected {wanted}")
    return Fault(parts, f"found {describe(value)}", _value_remedy(value, schema, node, detail))


def _value_remedy(value: Any, schema: Node, node: Node, detail: ErrorDetails) -> str:
    """What a key takes, and what the writer of a value probably meant."""
    wanted = expected(schema, node)
    if wanted == "another value" or detail["type"] == "predicate_failed":
        return clean(detail["msg"], 200)
    if not isinstance(value, str):
        quotes = "; text goes in quotes" if wanted.startswith(("text", "a name")) else ""
        return f"expected {wanted}{quotes}"
    if wanted == "true or false":
        is_literal = BOOLEAN.fullmatch(value[:60]) is not None
    else:
        is_literal = "number" in wanted and NUMBER.fullmatch(value[:60]) is not None
    if is_literal:
        wanted += f"; write {value.strip().lower()} without quotes"
    near = closest(value[:80], [name for name in node.get("enum", ()) if isinstance(name, str)])
    return f"did you mean '{near}'? expected {wanted}" if near else f"expected {wanted}"


def _description(schema: Node, parts: Parts) -> str:
    """What the schema says about a key: on the key itself, else on the type that it refers to."""
    properties = node_at(schema, parts[:-1]).get("properties", {})
    own = properties.get(parts[-1], {}).get("description")
    description = str(own or node_at(schema, parts).get("description", ""))
    return " ".join(description.split()).rstrip(".")
