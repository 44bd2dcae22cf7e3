"""The same report for programs: every number in full, undefined ones as null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emomtl.contracts.analysis import Table
from emomtl.report.collect import RunResult


def as_json(results: Sequence[RunResult], tables: Sequence[Table]) -> dict[str, Any]:
    """`runs` with their evaluations by task and full metric name, and `tables`."""
    return {"runs": list(map(_run, results)), "tables": list(map(table_as_json, tables))}


def _run(result: RunResult) -> dict[str, Any]:
    return {
        "run": result.name,
        "folder": str(result.folder),
        "seed": result.manifest.seed,
        "steps": result.step,
        "finished": result.finish is not None,
        "ended": result.ended,
        "missing": list(result.missing),
        "sizes": result.sizes,
        "examples": result.counts,
        "updates": result.updates,
        "passes": result.passes,
        "evaluations": list(map(_evaluation, result.evaluations)),
    }


def _evaluation(entry: Mapping[str, Any]) -> dict[str, Any]:
    facts = {key: entry.get(key) for key in ("split", "which", "checkpoint", "step", "by", "look")}
    facts["rows"] = {task: scores["rows"] for task, scores in entry["tasks"].items()}
    facts["tasks"] = {task: scores["metrics"] for task, scores in entry["tasks"].items()}
    return facts


def table_as_json(table: Table) -> dict[str, Any]:
    """One table as JSON: title, columns, rows with numbers in full, notes; never its texts."""
    return {
        "title": table.title,
        "columns": list(table.columns),
        "rows": list(map(list, table.rows)),
        "notes": list(table.notes),
    }
