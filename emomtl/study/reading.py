"""A study's file, read: everything that is wrong with it at once, with places."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest.faults import faults_of, odd_values
from emomtl.manifest.lines import Lines
from emomtl.manifest.models import Table
from emomtl.manifest.parsing import parse, read_text
from emomtl.study.models import RowTable, ScaleTable, Study

Strict = TypeVar("Strict", bound=Table)


@dataclass(frozen=True)
class StudyFile:
    """A study with the place of its file, the base manifest's data, and the scale that is run."""

    study: Study
    path: Path
    base: Mapping[str, Any]
    scale: ScaleTable
    scale_name: str | None

    @property
    def folder(self) -> Path:
        """Where relative paths of the base manifest start."""
        return (self.path.parent / (self.study.base or self.path.name)).resolve().parent

    def rows(self) -> list[RowTable]:
        """The rows of the table: as they are written, or every combination of the axes."""
        if self.study.rows:
            return list(self.study.rows)
        rows = []
        for choices in product(*self.study.axes.values()):
            manifest: dict[str, Any] = {}
            for choice in choices:
                manifest = laid_over(manifest, choice.manifest)
            rows.append(RowTable(name=", ".join(choice.name for choice in choices), manifest=manifest))
        return rows

    def seeds(self, row: RowTable) -> tuple[int, ...]:
        """The seeds of a row: its own, else those of the scale, else the study's."""
        return row.seeds or self.scale.seeds or self.study.seeds

    def target(self, row: RowTable) -> str:
        """The task that a row is scored on: its own, else the study's."""
        return row.target or self.study.target

    def metric(self, row: RowTable) -> str | None:
        """The figure of a row: its own, else the study's where the row is scored on the study's target; None for the main one."""
        return row.metric or (self.study.metric if self.target(row) == self.study.target else None)

    @property
    def reference(self) -> str:
        """The row that others are compared with."""
        return self.study.reference or self.rows()[0].name


def read_study(path: Path, scale: str | None = None) -> StudyFile:
    """The study in a TOML file, at a scale (else the file's own); EmomtlError with everything that is wrong."""
    study = read_strict(path, Study)
    name = scale or study.scale or next(iter(study.scales), None)
    if name is not None and name not in study.scales:
        raise EmomtlError(Problem("--scale", f"the study has no scale '{clean(name)}'", suggest(name, study.scales)))
    base = laid_over(_data(path.parent / study.base) if study.base is not None else {}, study.manifest)
    file = StudyFile(study, path, base, study.scales[name] if name else ScaleTable(), name)
    _check_rows(file)
    return file


def read_strict(path: Path, model: type[Strict]) -> Strict:
    """A TOML file as a strict model; EmomtlError with everything that is wrong in it, each with its line."""
    data = _data(path)
    schema = model.model_json_schema()
    faults = odd_values(data, schema)
    if not faults:
        try:
            return model.model_validate_json(json.dumps(data))
        except ValidationError as error:
            faults = [fault for fault in faults_of(error, data, schema) if fault.found]
    lines = Lines(path.read_text(encoding="utf-8-sig"), [])
    raise EmomtlError(*(fault.problem().at(str(path), lines.of(fault.parts)) for fault in faults))


def _data(path: Path) -> dict[str, Any]:
    text = read_text(path)
    data = parse(text) if isinstance(text, str) else text
    if isinstance(data, Problem):
        raise EmomtlError(data.at(clean(str(path), 300)))
    return data


def _check_rows(file: StudyFile) -> None:
    names = [row.name for row in file.rows()]
    problems = [
        Problem("rows", f"two rows are called '{clean(name)}'", "rename one", str(file.path))
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if file.reference not in names:
        found = f"no row is called '{clean(file.reference)}'"
        problems.append(Problem("reference", found, suggest(file.reference, names), str(file.path)))
    for row in file.rows():
        for key in ("name", "seed", "folder"):
            if key in row.manifest:
                found = f"the row '{clean(row.name)}' sets `{key}`, which the study gives each run"
                problems.append(Problem("rows", found, "leave it out", str(file.path)))
    if problems:
        raise EmomtlError(*problems)


def laid_over(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a manifest laid over another, table by table; a table whose `use` changes takes nothing of the old options."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            other = "use" in value and value["use"] != old.get("use")
            merged[key] = dict(value) if other else laid_over(old, value)
        else:
            merged[key] = value
    return merged
