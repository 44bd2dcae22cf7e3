"""The result of an analysis as JSON, as files in a folder, as a part of a report, and as a page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emomtl.contracts.analysis import Finding, Result, Table
from emomtl.report.drawing import save_pictures
from emomtl.report.formats.csv_output import as_csv
from emomtl.report.formats.markdown import escape, markdown
from emomtl.report.html_page import Section, page, shown, warnings_of
from emomtl.report.json_output import table_as_json
from emomtl.report.parts import Part
from emomtl.safety.files import storage, write_bytes, write_json
from emomtl.version import __version__

MANY_TABLES = 6
"""From more tables on a report shows them behind a click, after the pictures."""


def result_as_json(result: Result) -> dict[str, Any]:
    """The result's own `data`, else its title, tables, findings and notes; no text of a corpus."""
    if result.data:
        return dict(result.data)
    return {
        "title": result.title,
        "tables": [table_as_json(table) for table in result.tables],
        "findings": [_finding_as_json(finding) for finding in result.findings],
        "notes": list(result.notes),
    }


def _finding_as_json(finding: Finding) -> dict[str, Any]:
    facts = {"severity": finding.severity, "kind": finding.kind, "about": finding.about}
    examples = table_as_json(finding.examples) if finding.examples is not None else None
    return {**facts, "found": finding.text, "examples": examples}


def tables_of(result: Result) -> list[Table]:
    """The result's tables, and its findings as one more."""
    if not result.findings:
        return list(result.tables)
    rows = tuple((one.severity, one.kind, one.about, one.text) for one in result.findings)
    columns = ("severity", "kind", "tasks", "found")
    return [*result.tables, Table(f"{result.title}: findings", columns, rows)]


def write_result(result: Result, name: str, folder: Path) -> list[Path]:
    """Write NAME.json, NAME.md, NAME.csv, pictures and further pages into a folder.

    What has one of these names there is replaced. Returns the paths that were written.
    """
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    tables = tables_of(result)
    drawn = save_pictures(result.pictures, folder)
    write_json(folder / f"{name}.json", result_as_json(result))
    links = {caption: os.path.relpath(path, folder) for caption, path in drawn.items()}
    notes = "".join(f"- {escape(note)}\n" for note in result.notes)
    texts = {
        f"{name}.md": f"# {escape(result.title)}\n\n{notes}\n{markdown(tables, links)}",
        f"{name}.csv": as_csv(tables),
        **result.pages,
    }
    for file_name, text in texts.items():
        write_bytes(folder / file_name, text.encode())
    return [folder / f"{name}.json", *(folder / file_name for file_name in texts), *drawn.values()]


def as_part(result: Result) -> Part:
    """The result as a part of a report."""
    about = " ".join([result.about, *result.notes]).strip()
    tables = tuple(tables_of(result))
    return Part(result.title, about, tables, tuple(result.pictures), len(tables) > MANY_TABLES)


def result_page(result: Result) -> str:
    """One self-contained HTML page; texts of examples are behind a click."""
    sections = [*_findings(result), Section(result.title, result.tables, shown(result.pictures))]
    count = len(result.findings)
    summary = f"{count} finding{'s' if count != 1 else ''}. " if count else ""
    warnings = [*warnings_of(sections), *result.notes]
    return page(f"emomtl: {result.title}", summary + result.about, sections, warnings, __version__)


def _findings(result: Result) -> Iterator[Section]:
    """The findings as a table, then the examples of each."""
    if result.findings:
        yield Section("Findings", tables_of(result)[-1:])
        examples = [one.examples for one in result.findings if one.examples is not None]
        yield Section("Examples", examples, closed=True)
