"""An audit as one HTML page: everything escaped, no script, nothing from the network."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from emomtl.analysis.audit.findings import KINDS, SEVERITIES, Report
from emomtl.errors import clean

FOLDER = Path(__file__).parent


def page(report: Report, version: str) -> str:
    """The page of a report, as text; texts of rows stand behind a click, those of sensitive tasks nowhere.

    A content security policy lets the browser load nothing and run nothing; the one style sheet is named by its hash.
    """
    from jinja2 import Environment, StrictUndefined

    style = (FOLDER / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = _cell
    template = environment.from_string((FOLDER / "page.html.jinja").read_text(encoding="utf-8"))
    findings = report.sorted()
    return template.render(
        name=report.name,
        version=version,
        style=style,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        counts={severity: sum(one.severity == severity for one in findings) for severity in SEVERITIES},
        findings=findings,
        kinds=KINDS,
        tables=[table for table in report.tables if table.rows],
        notes=report.notes,
    )


def _cell(value: Any) -> str:
    """A value as the page shows it."""
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else clean(str(value), 500)
