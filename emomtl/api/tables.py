"""A run's scores as HTML, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emomtl.run import Run


def metrics_html(run: Run) -> str:
    """The newest scores of each split and task as an HTML table; text is escaped."""
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in run.scores():
        for task, score in entry["tasks"].items():
            newest[task, entry["split"]] = score
    lines = []
    for (task, split), score in newest.items():
        shown = score.get("headline") or list(score["metrics"])[:6]
        values = []
        for metric in shown:
            value = score["metrics"].get(metric)
            values.append(f"{metric} {'undefined' if value is None else format(value, '.4f')}")
        cells = (task, split, ", ".join(values))
        lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "<tr><th>task</th><th>split</th><th>metrics</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"
