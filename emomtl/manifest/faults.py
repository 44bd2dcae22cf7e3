"""What is wrong with data, in words of our own: the errors of pydantic, and the values that no manifest can hold."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from emomtl.errors import Problem, clean, closest
from emomtl.manifest.words import Node, meant, node_at, wanted
from emomtl.safety.redaction import MASK, is_secret

MAX_DEPTH = 30
MAX_PROBLEMS = 100
SECRET_REMEDY = (
    "put it into the environment (HF_TOKEN, WANDB_API_KEY), where whoever needs it looks, and revoke it if it was shared"
)
PART = re.compile(r'\.?(?:"((?:[^"\\]|\\.)*)"|\[(\d+)\]|([^.\[\]"]+))')
BARE = re.compile(r"[A-Za-z0-9_-]+")
NUMBER = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\s*")
TRUTH = re.compile(r"\s*(true|false)\s*", re.IGNORECASE)

Parts = tuple[str | int, ...]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong at a place; its `kind` is what pydantic calls it, or a word of ours."""

    parts: Parts
    kind: str
    found: str
    remedy: str = ""

    def problem(self, under: str = "") -> Problem:
        """The fault as a problem, its place below `under`."""
        place = dotted(self.parts)
        between = "." if under and place and not place.startswith("[") else ""
        return Problem(under + between + place, self.found, self.remedy)


def dotted(parts: Iterable[str | int]) -> str:
    """A place as TOML writes it: bare keys as they are, others quoted and cleaned, `[2]` for the third item of a list."""
    words = ""
    for part in parts:
        if isinstance(part, int):
            words += f"[{part}]"
        else:
            key = part if BARE.fullmatch(part) else '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
            words += ("." if words else "") + clean(key)
        if len(words) > 400:
            return words + "…"
    return words


def parts_of(place: str) -> Parts:
    """The parts of a dotted place; the reverse of `dotted` where nothing had to be cleaned."""
    found: list[str | int] = []
    for quoted, index, bare in PART.findall(place):
        found.append(int(index) if index else bare or re.sub(r"\\(.)", r"\1", quoted))
    return tuple(found)


def describe(value: Any) -> str:
    """A value by its type and its shortened self: `the text '2e-5'`, `a list of 3`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text '{clean(value, 40)}'" if value else "an empty text"
    if isinstance(value, int):
        return f"the whole number {value}" if abs(value) < 2**63 else "a whole number outside the range of 64 bits"
    if isinstance(value, float):
        return f"the number {value!r}"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    return f"the date or time {value}"


def odd_values(data: Mapping[str, Any], schema: Node) -> list[Fault]:
    """Values that TOML can say and no manifest can use: NaN and infinity, dates, 65-bit numbers, bottomless nesting."""
    faults: list[Fault] = []
    todo: list[tuple[Parts, Any]] = [((), data)]
    while todo:
        parts, value = todo.pop()
        if len(parts) >= MAX_DEPTH:
            faults.append(Fault(parts[:4], "deep", "is nested too deeply", f"at most {MAX_DEPTH} levels"))
            continue
        items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in items:
            if isinstance(item, (dict, list, tuple)):
                if item:
                    todo.append(((*parts, key), item))
            elif not _usable(item):
                place = (*parts, key)
                expected = wanted(schema, node_at(schema, place)).replace("another value", "a finite number, text, true or false")
                faults.append(Fault(place, "odd", f"found {describe(item)}", f"expected {expected}"))
    return list({fault.parts: fault for fault in reversed(faults)}.values())


def _usable(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, str)


def without_secrets(data: Any, parts: Parts = ()) -> tuple[Any, list[Fault]]:
    """The data with every secret masked, so that no later message can quote it, and a fault for each."""
    if isinstance(data, str):
        if not is_secret(data, next((part for part in reversed(parts) if isinstance(part, str)), "")):
            return data, []
        return MASK, [Fault(parts, "secret", "looks like a secret, which a run would copy and share", SECRET_REMEDY)]
    if not isinstance(data, (dict, list)) or len(parts) > MAX_DEPTH:
        return data, []
    made = {
        key: without_secrets(item, (*parts, key)) for key, item in (data.items() if isinstance(data, dict) else enumerate(data))
    }
    faults = [fault for _, found in made.values() for fault in found]
    values = {key: value for key, (value, _) in made.items()}
    return (values if isinstance(data, dict) else list(values.values())), faults


def value_at(data: Any, loc: Sequence[str | int]) -> tuple[Parts, Any]:
    """How far a place leads into the data, and what is there; pydantic's places also name branches of unions."""
    parts: list[str | int] = []
    for part in loc:
        inside = isinstance(data, Mapping) and part in data
        if not inside and not (isinstance(data, (list, tuple)) and isinstance(part, int) and part < len(data)):
            break
        data = data[part]
        parts.append(part)
    return tuple(parts), data


def faults_of(error: ValidationError, data: Mapping[str, Any], schema: Node) -> list[Fault]:
    """Every error of a validation, one for each place: the branches of a union are one, and so are items missing from a list."""
    found: dict[tuple[Parts, str], Fault] = {}
    unions: set[Parts] = set()
    for detail in error.errors(include_url=False):
        loc, kind = detail["loc"], detail["type"]
        parts, value = value_at(data, loc)
        if kind == "missing" and parts == loc[:-1] and isinstance(loc[-1], str):
            parts = loc
        elif parts != loc and loc[-1] != "[key]":
            unions.add(parts)
        key = (parts, "" if parts in unions else kind)
        if key not in found:
            words = len(found) < MAX_PROBLEMS
            union = parts in unions
            found[key] = _fault(detail, parts, value, schema, union) if words else Fault(parts, "union" if union else kind, "")
    return list(found.values())


def _fault(detail: ErrorDetails, parts: Parts, value: Any, schema: Node, union: bool) -> Fault:
    """One error of pydantic, said our way."""
    kind = "union" if union else detail["type"]
    node = node_at(schema, parts)
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return Fault(parts, kind, "unknown key", meant(str(parts[-1]), node_at(schema, parts[:-1])))
    if parts == ("tasks",) and (kind == "missing" or value == {}):
        return Fault(parts, kind, "no task", "a table such as [tasks.NAME]; `emomtl tasks` lists what is installed")
    if kind == "missing":
        about = _description(schema, parts)
        return Fault(parts, kind, "missing key", f"expected {wanted(schema, node)}" + (f": {about}" if about else ""))
    if kind == "value_error":
        return Fault(parts, kind, clean(str(detail.get("ctx", {}).get("error", "is not usable")), 300))
    if detail["loc"][-1:] == ("[key]",) and kind != "union":
        name = wanted(schema, {"type": "string", **detail.get("ctx", {})})
        return Fault(parts, kind, f"is not usable as a name: '{clean(str(detail['input']), 40)}'", f"expected {name}")
    return Fault(parts, kind, f"found {describe(value)}", _remedy(value, schema, node, detail))


def _remedy(value: Any, schema: Node, node: Node, detail: ErrorDetails) -> str:
    """What would have worked, with the likeliest cure first."""
    words = wanted(schema, node)
    if words == "another value" or detail["type"] == "predicate_failed":
        return clean(detail["msg"], 200)
    hint = ""
    if isinstance(value, str):
        names = [name for name in node.get("enum", ()) if isinstance(name, str)]
        near = closest(value[:80], names)
        hint = f"did you mean '{near}'? " if near is not None else ""
        pattern = NUMBER if "number" in words else TRUTH if words == "true or false" else None
        if pattern and pattern.fullmatch(value[:60]):
            words += f"; write {value.strip().lower()} without quotes"
    elif words == "text" or words.startswith("a name"):
        words += "; text goes in quotes"
    return f"{hint}expected {words}"


def _description(schema: Node, parts: Parts) -> str:
    """What the schema says of a key, before references are followed."""
    holder = node_at(schema, parts[:-1])
    own = holder.get("properties", {}).get(parts[-1], {}) if parts else {}
    return str(own.get("description") or node_at(schema, parts).get("description", "")).rstrip(".")
