"""From a file to a manifest: all that is wrong is found at once, each thing with its place and its line."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.manifest.faults import MAX_PROBLEMS, Fault, Parts, faults_of, odd_values, parts_of, without_secrets
from emomtl.manifest.lines import Lines
from emomtl.manifest.models import Manifest
from emomtl.manifest.overrides import apply_overrides, place, read_override
from emomtl.manifest.parsing import MAX_BYTES, parse, read_text
from emomtl.manifest.words import manifest_node

__all__ = ["MAX_BYTES", "Draft", "read_draft", "read_manifest"]

LEAST = 'at least name = "NAME", encoder.use = "ENCODER" and one task, a table [tasks.TASK]; `emomtl init` writes a manifest'
ROUNDS = 6
"""Validations of one file: a validator of a whole table speaks only when every key of it is right."""

STAND_INS: dict[Parts, Any] = {
    ("name",): "unnamed",
    ("encoder",): {"use": ""},
    ("encoder", "use"): "",
    ("tasks",): {"none": {}},
}
"""What stands where a key without default is missing or wrong, so that the rest of the file can be checked too."""


@dataclass(frozen=True)
class Draft:
    """A manifest as far as it could be read, with everything that is wrong with it.

    Where there are problems, `manifest` has the defaults in place of what is wrong; a missing name is "unnamed", a missing
    encoder `use` is "", and without any usable task `tasks` is empty. It is None only where the file is not TOML or empty.
    """

    manifest: Manifest | None
    problems: tuple[Problem, ...]
    lines: Lines
    file: str

    def placed(self, problem: Problem) -> Problem:
        """A problem found later, with the file and line of its place; or `--set PLACE` where an override set it."""
        if problem.place.startswith("--set") or problem.file or problem.line is not None:
            return problem
        return _located(problem, parts_of(problem.place), self.lines, self.file)

    def doubtful(self, *parts: str | int) -> bool:
        """Whether a problem stands at this place or above it, so that what `manifest` has there is not what was written."""
        places = [parts_of(problem.place.removeprefix("--set ")) for problem in self.problems]
        return any(found and parts[: len(found)] == found for found in places)


def read_manifest(path: Path, overrides: Sequence[str] = ()) -> Manifest:
    """The manifest in a TOML file, with `--set` overrides applied; `EmomtlError` with every problem where it has any."""
    draft = read_draft(path, overrides)
    if draft.problems or draft.manifest is None:
        raise EmomtlError(*draft.problems)
    return draft.manifest


def read_draft(path: Path, overrides: Sequence[str] = ()) -> Draft:
    """What can be read of a manifest and everything that is wrong with it; raises nothing, whatever the file is."""
    file = clean(str(path), 300)
    text = read_text(path)
    data = parse(text) if isinstance(text, str) else text
    if isinstance(data, Problem) or not isinstance(text, str):
        problem = data if isinstance(data, Problem) else Problem("", "cannot be read")
        return Draft(None, (problem.at(file), *apply_overrides({}, overrides)[1]), Lines(""), file)
    read = [read_override(override) for override in overrides]
    lines = Lines(text, [override[0] for override in read if not isinstance(override, Problem)])
    data, problems = apply_overrides(data, overrides)
    if not data:
        return Draft(None, (Problem("", "the manifest is empty", LEAST, file), *problems), lines, file)
    data, secrets = without_secrets(data)
    own = [*secrets, *_ties(data)]
    manifest, faults = _best_effort(data)
    located = [_located(fault.problem(), fault.parts, lines, file) for fault in [*own, *faults] if fault.found]
    located.sort(key=lambda problem: (problem.line is None, problem.line))
    return Draft(manifest, _capped([*problems, *located], len(problems) + len(own) + len(faults), file), lines, file)


def _located(problem: Problem, parts: Parts, lines: Lines, file: str) -> Problem:
    if lines.overridden(parts):
        return replace(problem, place=place(parts))
    return problem.at(file, lines.of(parts))


def _capped(problems: list[Problem], count: int, file: str) -> tuple[Problem, ...]:
    """At most `MAX_PROBLEMS` problems, and how many more there are."""
    shown = problems[:MAX_PROBLEMS]
    if count > len(shown):
        shown.append(Problem("", f"and {count - len(shown):,} more problems", "mend these first", file))
    return tuple(shown)


def _ties(data: dict[str, Any]) -> list[Fault]:
    """Tasks whose names differ only in case or in `-` and `_`: too easily taken for each other."""
    names = data.get("tasks")
    first: dict[str, str] = {}
    faults = []
    for name in names if isinstance(names, dict) else ():
        other = first.setdefault(name.lower().replace("-", "_"), name)
        if other != name:
            found = f"two tasks tied to one name: '{clean(other, 40)}' and '{clean(name, 40)}'"
            faults.append(Fault(("tasks", name), "tie", found, "rename one of them; `use` names the task that a table takes"))
    return faults


def _best_effort(data: dict[str, Any]) -> tuple[Manifest | None, list[Fault]]:
    """The manifest with defaults for what is wrong, and all that is wrong; changes `data`."""
    schema = manifest_node()
    faults = odd_values(data, schema)
    gone = _mend(data, faults)
    for _ in range(ROUNDS):
        try:
            manifest = Manifest.model_validate_json(json.dumps(data))
        except ValidationError as error:
            found = faults_of(error, data, schema)
            faults += [fault for fault in found if not _follows(fault, gone)]
            gone |= _mend(data, found)
        else:
            return (manifest.model_copy(update={"tasks": {}}) if ("tasks",) in gone else manifest), faults
    return None, faults


def _follows(fault: Fault, gone: set[Parts]) -> bool:
    """Whether a fault is only there because something wrong was taken out before."""
    if fault.kind == "value_error":
        return any(parts[:-1] == fault.parts and str(parts[-1]) in _named(fault) for parts in gone)
    within = any(parts[: len(fault.parts)] == fault.parts for parts in gone)
    return within and (fault.kind == "missing" or fault.parts == ("tasks",))


def _named(fault: Fault) -> set[str]:
    """The words of a message, among them the keys that it speaks of."""
    return set(re.findall(r"\w+", fault.found))


def _mend(data: dict[str, Any], faults: Iterable[Fault]) -> set[Parts]:
    """Take out what is wrong, or put a stand-in there; gives back the places that were changed."""
    changed: set[Parts] = set()
    for fault in faults:
        parts = _keys(fault.parts)
        holder = _holder(data, parts)
        if holder is None:
            continue
        value = holder.get(parts[-1])
        if fault.kind == "value_error" and isinstance(value, dict):
            named = [key for key in value if key in _named(fault)]
            for key in named:
                del value[key]
            changed |= {(*parts, key) for key in named}
            if named:
                continue
        changed.add(parts)
        if parts in STAND_INS and (fault.kind == "missing" or parts == ("tasks",)):
            holder[parts[-1]] = copy.deepcopy(STAND_INS[parts])
        elif fault.kind == "missing":
            _drop(data, parts[:-1])
        elif len(parts) == 2 and parts[0] == "tasks" and fault.kind == "model_type":
            holder[parts[-1]] = {}
        else:
            holder.pop(parts[-1], None)
    return changed


def _keys(parts: Parts) -> tuple[str, ...]:
    """The keys of a place up to the first list, which is mended as a whole."""
    return tuple(part for part in itertools.takewhile(lambda part: isinstance(part, str), parts) if isinstance(part, str))


def _holder(data: dict[str, Any], parts: tuple[str, ...]) -> dict[str, Any] | None:
    """The table that a place is in; None where it is gone already."""
    inner: Any = data
    for part in parts[:-1]:
        inner = inner.get(part) if isinstance(inner, dict) else None
    return inner if isinstance(inner, dict) and parts else None


def _drop(data: dict[str, Any], parts: tuple[str, ...]) -> None:
    holder = _holder(data, parts)
    if holder is not None:
        holder.pop(parts[-1], None)
