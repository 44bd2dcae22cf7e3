"""`emomtl compare`: two runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from emomtl.cli.options import Json, RunArgument, Trust


def compare(
    one: RunArgument,
    other: Annotated[Path, Argument(help="Another one.")],
    trust_plugins: Trust = False,
    json: Json = False,
) -> None:
    """What differs between two runs in manifest, environment, data and scores.

    It says whether scores differ by more than noise.
    """
    from emomtl.analyses.comparison import common_heads, comparison
    from emomtl.cli.output import console, print_json
    from emomtl.report.json_output import table_as_json
    from emomtl.report.terminal import show

    tables = comparison(*common_heads(one, other, trust_plugins))
    if json:
        print_json({"tables": [table_as_json(table) for table in tables]})
    else:
        show(tables, console())
