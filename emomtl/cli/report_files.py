"""The files that a report is written into: tables in any format, figures, a page."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emomtl.cli.options import set_parameters
from emomtl.report.formats import table_formats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emomtl.contracts.analysis import Picture, Table


@dataclass(frozen=True)
class Outputs:
    """Where a report goes: files by table format, a page, a folder of figures, JSON on stdout."""

    files: Mapping[str, Path] = field(default_factory=dict)
    html: Path | None = None
    figures: Path | None = None
    json: bool = False

    @property
    def has_files(self) -> bool:
        """Whether more than the tables of the terminal is wanted."""
        return bool(self.json or self.files or self.html or self.figures)


def with_table_formats(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option `--NAME FILE` for each table format.

    In place of these options the command gets `files`, the paths by format.
    """
    formats = table_formats()

    def run(**arguments: Any) -> None:
        paths = {one.name: arguments.pop(one.name) for one in formats}
        command(**arguments, files={name: path for name, path in paths.items() if path})

    signature = inspect.signature(command, eval_str=True)
    parameters = [one for one in signature.parameters.values() if one.name != "files"]
    for one in formats:
        option = Annotated[Path | None, typer.Option(f"--{one.name}", help=one.help)]
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(one.name, kind, default=None, annotation=option))
    run.__doc__ = command.__doc__
    set_parameters(run, parameters)
    return run


def write_outputs(outputs: Outputs, tables: Sequence[Table], pictures: Sequence[Picture]) -> None:
    """Write the figures, and the tables in each format that has a path."""
    from emomtl.cli.output import say
    from emomtl.report.drawing import save_pictures
    from emomtl.safety.files import write_bytes

    drawn: Mapping[str, Path] = {}
    if outputs.figures is not None:
        drawn = save_pictures(pictures, outputs.figures)
    for path in drawn.values():
        say(f"wrote {path}, .svg and .pdf")
    for table_format in table_formats():
        file = outputs.files.get(table_format.name)
        if file is not None:
            links = {caption: os.path.relpath(path, file.parent) for caption, path in drawn.items()}
            write_bytes(file, table_format.write(tables, links).encode())
            say(f"wrote {file}")
