"""The same report for programs: every number in full, undefined ones as null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emomtl.contracts.analysis import Table
from emomtl.report.collect import RunResult


def as_json(results: Sequence[RunResult], tables: Sequence[Table]) -> dict[str, Any]:
    """What JSON can hold: `runs` (with their evaluations, by task and full metric name) and `tables` (columns, rows, notes)."""
    return {"runs": [_run(result) for result in results], "tables": [table_as_json(table) for table in tables]}


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
        "evaluations": [_evaluation(entry) for entry in result.evaluations],
    }


def _evaluation(entry: dict[str, Any]) -> dict[str, Any]:
    kept = {key: entry.get(key) for key in ("split", "which", "checkpoint", "step", "by", "look")}
    rows = {task: scores["rows"] for task, scores in entry["tasks"].items()}
    return {**kept, "rows": rows, "tasks": {task: scores["metrics"] for task, scores in entry["tasks"].items()}}


def table_as_json(table: Table) -> dict[str, Any]:
    """One table as JSON: title, columns, rows with numbers in full, notes."""
    rows = [list(row) for row in table.rows]
    return {"title": table.title, "columns": list(table.columns), "rows": rows, "notes": list(table.notes)}
