"""`emomtl compare`: two runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emomtl.cli.results import Trust


def compare(
    one: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    other: Annotated[Path, typer.Argument(help="Another one.", show_default=False)],
    trust_plugins: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
) -> None:
    """What differs between two runs in manifest, environment, data and scores, and whether scores differ by more than noise."""
    from emomtl.analyses.comparison import common_heads, comparison
    from emomtl.cli.output import console, print_json
    from emomtl.report.json_output import table_as_json
    from emomtl.report.terminal import show

    tables = comparison(*common_heads(one, other, trust_plugins))
    if json:
        print_json({"tables": [table_as_json(table) for table in tables]})
    else:
        show(tables, console())
