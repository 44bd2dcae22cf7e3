"""A study's file, read: everything that is wrong with it at once, with places."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest.faults import Fault, unusable_values, validation_faults
from emomtl.manifest.lines import Lines
from emomtl.manifest.models import Table
from emomtl.manifest.parsing import parse, read_text
from emomtl.manifest.wording import Node
from emomtl.study.models import LONGEST_NAME, RatesTable, RowTable, ScaleTable, SourceTable, Study

Strict = TypeVar("Strict", bound=Table)

MOST_ROWS = 10_000
"""Rows of a study; the combinations of a few long axes are soon more than anybody can run."""


@dataclass(frozen=True)
class StudyFile:
    """A study with the place of its file, the base manifest's data, and the scale that is run."""

    study: Study
    path: Path
    base: Mapping[str, Any]
    scale: ScaleTable
    scale_name: str | None
    source_bases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    home: Path | None = None
    shipped: Mapping[str, Path] = field(default_factory=dict)

    def folder(self, of: RowTable | SourceTable) -> Path:
        """Where relative paths of the base manifest of a row or source start: beside it, or where a shipped study is run."""
        if self.home is not None:
            return self.home
        own = of.base if isinstance(of, SourceTable) else None
        base = own or self.study.base
        if base is not None and (base in self.shipped and not (self.path.parent / base).exists()):
            base = None
        return (self.path.parent / (base or self.path.name)).resolve().parent

    def manifest(self, of: RowTable | SourceTable) -> dict[str, Any]:
        """The base of a row or source, then the scale's part, then its own, then the scale's for tasks that it has."""
        if isinstance(of, SourceTable):
            data = laid_over(laid_over(self.source_bases[of.name], self.scale.sources), of.manifest)
        else:
            data = laid_over(laid_over(self.base, self.scale.manifest), of.manifest)
        tasks = {name: part for name, part in self.scale.tasks.items() if name in data.get("tasks", {})}
        return laid_over(data, {"tasks": tasks}) if tasks else data

    @property
    def rates(self) -> RatesTable | None:
        """The grid of rates at this scale: the scale's, else the study's."""
        return self.scale.rates or self.study.rates

    def rows(self) -> list[RowTable]:
        """The rows of the table: as they are written, or every combination of the axes."""
        if self.study.rows:
            return list(self.study.rows)
        rows = []
        for choices in product(*self.study.axes.values()):
            manifest: dict[str, Any] = {}
            named: dict[str, Any] = {}
            for choice in choices:
                manifest = laid_over(manifest, choice.manifest)
                named |= {key: name for key in ("after", "against") if (name := getattr(choice, key)) is not None}
            name = ", ".join(choice.name for choice in choices)
            if len(name) > LONGEST_NAME:
                found = f"together they name a row '{clean(name, 200)}', which has {len(name)} characters"
                raise EmomtlError(Problem("axes", found, f"at most {LONGEST_NAME}: give shorter names", str(self.path)))
            rows.append(RowTable(name=name, manifest=manifest, **named))
        return rows

    def every(self) -> list[RowTable | SourceTable]:
        """The sources, then the rows."""
        return [*self.study.sources, *self.rows()]

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
        """The row that others are compared with, where they name none."""
        return self.study.reference or self.rows()[0].name

    def against(self) -> dict[str, str | None]:
        """The row that each is compared with; None for the reference, for rows that others name and that name none, and for those
        that are scored by something else than the reference."""
        rows = {row.name: row for row in self.rows()}
        named = {row.against for row in rows.values()} | {self.reference}
        scored = (self.target(rows[self.reference]), self.metric(rows[self.reference]))
        alone = {name for name, row in rows.items() if name in named or (self.target(row), self.metric(row)) != scored}
        found = {name: row.against or (None if name in alone else self.reference) for name, row in rows.items()}
        return {name: None if other == name else other for name, other in found.items()}


def read_study(
    path: Path, scale: str | None = None, home: Path | None = None, shipped: Mapping[str, Path] | None = None
) -> StudyFile:
    """The study in a TOML file, at a scale (else the file's own); EmomtlError with everything that is wrong.

    Relative paths of its manifests start at `home`, else beside them. A `base` is a file, or one of the `shipped` manifests.
    """
    shipped = shipped or {}
    study = read_strict(path, Study)
    name = scale or study.scale or next(iter(study.scales), None)
    if name is not None and name not in study.scales:
        raise EmomtlError(Problem("--scale", f"the study has no scale '{clean(name)}'", suggest(name, study.scales)))
    base = laid_over(_base(path, study.base, shipped) if study.base is not None else {}, study.manifest)
    bases = {one.name: _base(path, one.base, shipped) if one.base else base for one in study.sources}
    file = StudyFile(study, path, base, study.scales[name] if name else ScaleTable(), name, bases, home, shipped)
    if (rows := prod(map(len, study.axes.values()))) > MOST_ROWS and not study.rows:
        found = f"the axes make {rows:,} rows" if rows < 10**12 else "the axes make more than a million million rows"
        raise EmomtlError(Problem("axes", found, f"at most {MOST_ROWS:,}: write the rows that you want as [[rows]]", str(path)))
    _check_rows(file)
    return file


def read_strict(path: Path, model: type[Strict]) -> Strict:
    """A TOML file as a strict model; EmomtlError with everything that is wrong in it, each with its line."""
    schema = model.model_json_schema()
    data = _data(path, schema)
    try:
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        faults, _ = validation_faults(error, data, schema)
        raise _error(path, faults) from error


def _base(path: Path, name: str, shipped: Mapping[str, Path]) -> dict[str, Any]:
    """The manifest that a study's file names: one beside it, else a shipped one."""
    file = path.parent / name
    return _data(shipped[name] if name in shipped and not file.exists() else file)


def _data(path: Path, schema: Node | None = None) -> dict[str, Any]:
    """The data of a TOML file, without values that no key takes, such as secrets and NaN."""
    text = read_text(path)
    data = parse(text) if isinstance(text, str) else text
    if isinstance(data, Problem):
        raise EmomtlError(data.at(clean(str(path), 300)))
    if faults := unusable_values(data, schema or {}):
        raise _error(path, faults)
    return data


def _error(path: Path, faults: Sequence[Fault]) -> EmomtlError:
    """Faults of a file as an error, each with its line."""
    lines = Lines(path.read_text(encoding="utf-8-sig"))
    file = clean(str(path), 300)
    return EmomtlError(*(fault.problem().at(file, lines.of(fault.parts)) for fault in faults))


def _check_rows(file: StudyFile) -> None:
    rows, every_run = file.rows(), file.every()
    names = [row.name for row in rows]
    every = [one.name for one in every_run]
    problems = [
        Problem("rows", f"two rows are called '{clean(name)}'", "rename one", str(file.path))
        for name in dict.fromkeys(every)
        if every.count(name) > 1
    ]
    if file.reference not in names:
        found = f"no row is called '{clean(file.reference)}'"
        problems.append(Problem("reference", found, suggest(file.reference, names), str(file.path)))
    for row in rows:
        if row.against is not None and row.against not in names:
            found = f"the row '{clean(row.name)}' stands against '{clean(row.against)}', and no row is called so"
            problems.append(Problem("rows", found, suggest(row.against, names), str(file.path)))
    for one in every_run:
        for key in ("name", "seed", "folder", *(("start",) if one.after is not None else ())):
            if key in one.manifest:
                why = "`after` sets" if key == "start" else "the study gives each run"
                found = f"the row '{clean(one.name)}' sets `{key}`, which {why}"
                problems.append(Problem("rows", found, "leave it out", str(file.path)))
        if one.after is not None and one.after not in every:
            found = f"'{clean(one.name)}' starts after '{clean(one.after)}', and no row or source is called so"
            problems.append(Problem("rows", found, suggest(one.after, every), str(file.path)))
    if not problems:
        problems = _circles(file)
    if problems:
        raise EmomtlError(*problems)


def _circles(file: StudyFile) -> list[Problem]:
    """Rows that start from one another."""
    graph = {one.name: [one.after] if one.after is not None else [] for one in file.every()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " after ".join(f"'{clean(name)}'" for name in error.args[1][::-1])
        return [Problem("rows", f"these start from one another: {circle}", "leave `after` out of one", str(file.path))]
    return []


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
