"""From a file to a manifest, or to everything that is wrong with it, each with its line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.manifest.faults import MAX_PROBLEMS, Fault, unusable_values, validation_faults
from emomtl.manifest.lines import Lines
from emomtl.manifest.models import Manifest
from emomtl.manifest.overrides import apply_overrides, override_place, read_override
from emomtl.manifest.parsing import parse, read_text
from emomtl.manifest.places import Parts, parts_of
from emomtl.manifest.wording import manifest_schema_node

EMPTY_REMEDY = (
    'at least name = "NAME", encoder.use = "ENCODER" and one task, a table [tasks.TASK]; '
    "`emomtl init` writes a manifest"
)


@dataclass(frozen=True)
class Draft:
    """A file that was read: its manifest, or None and the problems that keep it from being one."""

    manifest: Manifest | None
    problems: tuple[Problem, ...]
    lines: Lines
    file: str

    def placed(self, problem: Problem) -> Problem:
        """A problem found later, with the file and line of its place.

        If an override set the place, the problem is placed at `--set PLACE`.
        """
        if problem.place.startswith("--set") or problem.file or problem.line is not None:
            return problem
        return _located(problem, parts_of(problem.place), self.lines, self.file)


def read_manifest(path: Path, overrides: Sequence[str] = ()) -> Manifest:
    """The manifest in a TOML file, with `--set` overrides applied.

    Raises `EmomtlError` with every problem that was found.
    """
    draft = read_draft(path, overrides)
    if draft.manifest is None:
        raise EmomtlError(*draft.problems)
    return draft.manifest


def read_draft(path: Path, overrides: Sequence[str] = ()) -> Draft:
    """The manifest in a TOML file, or what is wrong with it; raises nothing, whatever the file is.

    What no key can hold is reported first, and what pydantic finds once that is mended.
    """
    file = clean(str(path), 300)
    text = read_text(path)
    parsed = parse(text) if isinstance(text, str) else text
    if isinstance(parsed, Problem) or not isinstance(text, str):
        problem = parsed if isinstance(parsed, Problem) else Problem("", "cannot be read")
        _, override_problems = apply_overrides({}, overrides)
        return Draft(None, (problem.at(file), *override_problems), Lines(""), file)
    keys = [read_override(override) for override in overrides]
    lines = Lines(text, [key[0] for key in keys if not isinstance(key, Problem)])
    data, problems = apply_overrides(parsed, overrides)
    if not data:
        empty = Problem("", "the manifest is empty", EMPTY_REMEDY, file)
        return Draft(None, (empty, *problems), lines, file)
    manifest, faults, count = _validated(data)
    located = [_located(fault.problem(), fault.parts, lines, file) for fault in faults]
    located.sort(key=lambda problem: (problem.line is None, problem.line))
    problems += located[:MAX_PROBLEMS]
    if count > MAX_PROBLEMS:
        found = f"and {count - MAX_PROBLEMS:,} more problems"
        problems.append(Problem("", found, "mend these first", file))
    return Draft(None if problems else manifest, tuple(problems), lines, file)


def _validated(data: dict[str, Any]) -> tuple[Manifest | None, list[Fault], int]:
    """The manifest, or None with what is wrong and how many things are."""
    schema = manifest_schema_node()
    faults = unusable_values(data, schema)
    if faults:
        return None, faults, len(faults)
    similar = _similar_names(data)
    try:
        return Manifest.model_validate_json(json.dumps(data)), similar, len(similar)
    except ValidationError as error:
        invalid, count = validation_faults(error, data, schema)
        return None, similar + invalid, len(similar) + count


def _similar_names(data: dict[str, Any]) -> list[Fault]:
    """Tasks whose names differ only in case, or in `-` and `_`: too easily mistaken."""
    tasks = data.get("tasks")
    first: dict[str, str] = {}
    faults = []
    for name in tasks if isinstance(tasks, dict) else ():
        other = first.setdefault(name.lower().replace("-", "_"), name)
        if other != name:
            found = f"two tasks tied to one name: '{clean(other, 40)}' and '{clean(name, 40)}'"
            remedy = "rename one of them; `use` names the task that a table takes"
            faults.append(Fault(("tasks", name), found, remedy))
    return faults


def _located(problem: Problem, parts: Parts, lines: Lines, file: str) -> Problem:
    if lines.overridden(parts):
        return replace(problem, place=override_place(parts))
    return problem.at(file, lines.of(parts))
