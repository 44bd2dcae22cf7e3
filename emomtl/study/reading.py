"""A study's file, read and checked: everything that is wrong with it at once, with lines."""

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
"""Most rows of a study: the combinations of a few long axes are soon more than anybody can run."""


@dataclass(frozen=True)
class StudyFile:
    """A study with the place of its file, the base manifest's data, and the scale that is run.

    `source_bases` are base manifests by source. `home` is where relative paths start if not beside
    the file, and `shipped` are the manifests by name that a `base` may be.
    """

    study: Study
    path: Path
    base: Mapping[str, Any]
    scale: ScaleTable
    scale_name: str | None
    source_bases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    home: Path | None = None
    shipped: Mapping[str, Path] = field(default_factory=dict)

    def folder(self, of: RowTable | SourceTable) -> Path:
        """Where relative paths of a row's or source's base manifest start.

        That is beside the manifest, and for a shipped one beside the study's file.
        """
        if self.home is not None:
            return self.home
        base = self.study.base
        if isinstance(of, SourceTable) and of.base is not None:
            base = of.base
        beside = self.path.parent / (base or self.path.name)
        if base in self.shipped and not beside.exists():
            beside = self.path
        return beside.resolve().parent

    def manifest(self, of: RowTable | SourceTable) -> dict[str, Any]:
        """The manifest of a row or source: its base, then the scale's part, then its own part.

        The scale's parts for single tasks come last, for the tasks that it has.
        """
        if isinstance(of, SourceTable):
            data = laid_over(self.source_bases[of.name], self.scale.sources)
        else:
            data = laid_over(self.base, self.scale.manifest)
        data = laid_over(data, of.manifest)
        for task, part in self.scale.tasks.items():
            if task in data.get("tasks", {}):
                data = laid_over(data, {"tasks": {task: part}})
        return data

    @property
    def rates(self) -> RatesTable | None:
        """The grid of rates: the scale's, else the study's."""
        return self.scale.rates or self.study.rates

    def rows(self) -> list[RowTable]:
        """The rows of the table: as they are written, or every combination of the axes."""
        if self.study.rows:
            return list(self.study.rows)
        return [self._combined(choices) for choices in product(*self.study.axes.values())]

    def _combined(self, choices: tuple[RowTable, ...]) -> RowTable:
        """The row that is made of one choice on each axis, later axes laid over earlier ones."""
        manifest: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for choice in choices:
            manifest = laid_over(manifest, choice.manifest)
            for key in ("after", "against"):
                other = getattr(choice, key)
                if other is not None:
                    others[key] = other
        name = ", ".join(choice.name for choice in choices)
        if len(name) > LONGEST_NAME:
            found = (
                f"together they name a row '{clean(name, 200)}', which has {len(name)} characters"
            )
            remedy = f"at most {LONGEST_NAME}: give shorter names"
            raise EmomtlError(Problem("axes", found, remedy, str(self.path)))
        return RowTable(name=name, manifest=manifest, **others)

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
        """The metric of a row: its own, else for the study's target the study's; None: the main
        one.
        """
        if row.metric is None and self.target(row) == self.study.target:
            return self.study.metric
        return row.metric

    @property
    def reference(self) -> str:
        """The row that others are compared with, where they name none."""
        return self.study.reference or self.rows()[0].name

    def against(self) -> dict[str, str | None]:
        """The row that each is compared with: the one that it names, else the reference.

        None for the reference itself, for rows that others name and that name none, and for rows
        that are scored by something else than the reference.
        """
        rows = {row.name: row for row in self.rows()}
        named = {row.against for row in rows.values()}
        reference = rows[self.reference]
        compared: dict[str, str | None] = {}
        for name, row in rows.items():
            other = row.against
            is_alike = (self.target(row), self.metric(row)) == (
                self.target(reference),
                self.metric(reference),
            )
            if other is None and name not in named and is_alike:
                other = reference.name
            compared[name] = None if other == name else other
        return compared


def read_study(
    path: Path,
    scale: str | None = None,
    home: Path | None = None,
    shipped: Mapping[str, Path] | None = None,
) -> StudyFile:
    """The study in a TOML file, at a scale (else the file's own); see `StudyFile` for the others.

    EmomtlError with everything that is wrong.
    """
    shipped = shipped or {}
    study = read_strict(path, Study)
    name = scale or study.scale or next(iter(study.scales), None)
    if name is not None and name not in study.scales:
        found = f"the study has no scale '{clean(name)}'"
        raise EmomtlError(Problem("--scale", found, suggest(name, study.scales)))
    base = laid_over(_base(path, study.base, shipped), study.manifest)
    source_bases = {}
    for source in study.sources:
        source_bases[source.name] = base
        if source.base:
            source_bases[source.name] = _base(path, source.base, shipped)
    table = study.scales[name] if name else ScaleTable()
    file = StudyFile(study, path, base, table, name, source_bases, home, shipped)
    row_count = prod(map(len, study.axes.values()))
    if row_count > MOST_ROWS and not study.rows:
        number = f"{row_count:,}" if row_count < 10**12 else "more than a million million"
        remedy = f"at most {MOST_ROWS:,}: write the rows that you want as [[rows]]"
        raise EmomtlError(Problem("axes", f"the axes make {number} rows", remedy, str(path)))
    _check_rows(file)
    return file


def read_strict(path: Path, model: type[Strict]) -> Strict:
    """A TOML file as a strict model; EmomtlError with all that is wrong, each with its line."""
    schema = model.model_json_schema()
    data = _data(path, schema)
    try:
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        faults, _ = validation_faults(error, data, schema)
        raise _error(path, faults) from error


def _base(path: Path, name: str | None, shipped: Mapping[str, Path]) -> dict[str, Any]:
    """The manifest that a study's file names: one beside it, else a shipped one; {} for none."""
    if name is None:
        return {}
    file = path.parent / name
    if name in shipped and not file.exists():
        file = shipped[name]
    return _data(file)


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
    """EmomtlError for names of rows and sources that are used twice or do not exist, and for
    circles.
    """
    names = [row.name for row in file.rows()]
    all_names = [table.name for table in file.every()]
    problems: list[Problem] = []

    def add(found: str, remedy: str, place: str = "rows") -> None:
        problems.append(Problem(place, found, remedy, str(file.path)))

    for name in dict.fromkeys(all_names):
        if all_names.count(name) > 1:
            add(f"two rows are called '{clean(name)}'", "rename one")
    if file.reference not in names:
        remedy = suggest(file.reference, names)
        add(f"no row is called '{clean(file.reference)}'", remedy, "reference")
    for row in file.rows():
        if row.against is not None and row.against not in names:
            pair = f"the row '{clean(row.name)}' stands against '{clean(row.against)}'"
            add(f"{pair}, and no row is called so", suggest(row.against, names))
    for table in file.every():
        for found, remedy in _faults_of_row(table, all_names):
            add(found, remedy)
    if not problems:
        circle = _circle(file)
        if circle:
            add(f"these start from one another: {circle}", "leave `after` out of one")
    if problems:
        raise EmomtlError(*problems)


def _faults_of_row(table: RowTable | SourceTable, names: Sequence[str]) -> list[tuple[str, str]]:
    """What a row or source sets that the study sets, or names that does not exist."""
    row, faults = clean(table.name), []
    for key in ("name", "seed", "folder"):
        if key in table.manifest:
            faults.append(
                (f"the row '{row}' sets `{key}`, which the study gives each run", "leave it out")
            )
    if table.after is not None and "start" in table.manifest:
        faults.append((f"the row '{row}' sets `start`, which `after` sets", "leave it out"))
    if table.after is not None and table.after not in names:
        pair = f"'{row}' starts after '{clean(table.after)}'"
        faults.append((f"{pair}, and no row or source is called so", suggest(table.after, names)))
    return faults


def _circle(file: StudyFile) -> str:
    """Rows that start from one another, in words; "" where there are none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for table in file.every():
        sorter.add(table.name, *filter(None, [table.after]))
    try:
        sorter.prepare()
    except CycleError as error:
        return " after ".join(f"'{clean(name)}'" for name in error.args[1][::-1])
    return ""


def laid_over(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a manifest laid over another, table by table.

    A table whose `use` changes takes nothing of the old options.
    """
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            uses_another = "use" in value and value["use"] != old.get("use")
            merged[key] = dict(value) if uses_another else laid_over(old, value)
        else:
            merged[key] = value
    return merged
