"""An audit as one HTML page: everything escaped, no script, nothing from the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emomtl.analyses.audit.findings import KINDS, SEVERITIES, Report
from emomtl.errors import clean
from emomtl.report.html_page import rendered

FOLDER = Path(__file__).parent


def page(report: Report, version: str) -> str:
    """The page of a report, as text; texts of rows stand behind a click, those of sensitive tasks nowhere.

    A content security policy lets the browser load nothing and run nothing; the one style sheet is named by its hash.
    """
    findings = report.sorted()
    context = {
        "name": report.name,
        "version": version,
        "counts": {severity: sum(one.severity == severity for one in findings) for severity in SEVERITIES},
        "findings": findings,
        "kinds": KINDS,
        "tables": [table for table in report.tables if table.rows],
        "notes": report.notes,
    }
    return rendered(FOLDER / "page.html.jinja", context, styles=[FOLDER / "page.css"], filters={"cell": _cell})


def _cell(value: Any) -> str:
    """A value as the page shows it."""
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else clean(str(value), 500)
