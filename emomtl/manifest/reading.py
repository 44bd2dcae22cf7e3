"""From a file to a manifest, or to all that one reading shows is wrong with it, line by line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.manifest.faults import (
    MAX_PROBLEMS,
    Fault,
    Parts,
    faults_of,
    odd_values,
    parts_of,
    without_secrets,
)
from emomtl.manifest.lines import Lines
from emomtl.manifest.models import Manifest
from emomtl.manifest.overrides import apply_overrides, place, read_override
from emomtl.manifest.parsing import MAX_BYTES, parse, read_text
from emomtl.manifest.words import manifest_node

__all__ = ["MAX_BYTES", "Draft", "read_draft", "read_manifest"]

LEAST = 'at least name = "NAME", encoder.use = "ENCODER" and one task, a table [tasks.TASK]; `emomtl init` writes a manifest'


@dataclass(frozen=True)
class Draft:
    """What a file was read as: a manifest, or None and all that is wrong, as `problems`."""

    manifest: Manifest | None
    problems: tuple[Problem, ...]
    lines: Lines
    file: str

    def placed(self, problem: Problem) -> Problem:
        """A problem found later, with the file and line of its place.

        Where an override set the place, `--set PLACE` stands for them.
        """
        if problem.place.startswith("--set") or problem.file or problem.line is not None:
            return problem
        return _located(problem, parts_of(problem.place), self.lines, self.file)


def read_manifest(path: Path, overrides: Sequence[str] = ()) -> Manifest:
    """The manifest in a TOML file, with `--set` overrides applied.

    Raises an `EmomtlError` with every problem where there are any.
    """
    draft = read_draft(path, overrides)
    if draft.manifest is None:
        raise EmomtlError(*draft.problems)
    return draft.manifest


def read_draft(path: Path, overrides: Sequence[str] = ()) -> Draft:
    """The manifest in a TOML file, or what is wrong with it; raises nothing, whatever the file is."""
    file = clean(str(path), 300)
    text = read_text(path)
    data = parse(text) if isinstance(text, str) else text
    if isinstance(data, Problem) or not isinstance(text, str):
        problem = data if isinstance(data, Problem) else Problem("", "cannot be read")
        problems = [problem.at(file), *apply_overrides({}, overrides)[1]]
        return Draft(None, tuple(problems), Lines(""), file)
    read = [read_override(override) for override in overrides]
    lines = Lines(text, [override[0] for override in read if not isinstance(override, Problem)])
    data, problems = apply_overrides(data, overrides)
    if not data:
        empty = Problem("", "the manifest is empty", LEAST, file)
        return Draft(None, (empty, *problems), lines, file)
    data, secrets = without_secrets(data)
    manifest, invalid = _validated(data)
    faults = [*secrets, *_ties(data), *invalid]
    shown = [fault for fault in faults if fault.found]
    located = [_located(fault.problem(), fault.parts, lines, file) for fault in shown]
    located.sort(key=lambda problem: (problem.line is None, problem.line))
    count = len(problems) + len(faults)
    problems = [*problems, *located]
    if problems:
        manifest = None
    return Draft(manifest, _capped(problems, count, file), lines, file)


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


def _validated(data: dict[str, Any]) -> tuple[Manifest | None, list[Fault]]:
    """The manifest, or None and what is wrong."""
    schema = manifest_node()
    odd = odd_values(data, schema)
    if any(fault.kind == "deep" for fault in odd):  # neither json nor pydantic reads it
        return None, odd
    try:
        # Dates become texts, which no key takes that `odd_values` does not report already.
        return Manifest.model_validate_json(json.dumps(data, default=str)), odd
    except ValidationError as error:
        odd_places = {fault.parts for fault in odd}
        others = [fault for fault in faults_of(error, data, schema) if fault.parts not in odd_places]
        return None, [*odd, *others]
