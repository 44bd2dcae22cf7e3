"""The files that a report is written into."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emomtl.contracts.analysis import Picture, Table


@dataclass(frozen=True)
class Outputs:
    """Where a report goes: files by form, the folder of its figures, and whether it is printed as JSON."""

    markdown: Path | None = None
    html: Path | None = None
    latex: Path | None = None
    csv: Path | None = None
    figures: Path | None = None
    json: bool = False

    @property
    def whole(self) -> bool:
        """Whether more than the terminal's tables is wanted."""
        return self.json or any((self.markdown, self.html, self.latex, self.csv, self.figures))


def write_outputs(outputs: Outputs, tables: Sequence[Table], pictures: Sequence[Picture]) -> None:
    """Tables as Markdown (with links to the figures), LaTeX and CSV, and the figures, where a place is given."""
    from emomtl.cli.output import say
    from emomtl.report.csv_output import as_csv
    from emomtl.report.drawing import save_pictures
    from emomtl.report.latex import latex
    from emomtl.report.markdown import markdown
    from emomtl.safety.files import write_bytes

    drawn: Mapping[str, Path] = save_pictures(pictures, outputs.figures) if outputs.figures is not None else {}
    for path in drawn.values():
        say(f"wrote {path}, .svg and .pdf")
    if outputs.markdown is not None:
        links = {caption: os.path.relpath(path, outputs.markdown.parent) for caption, path in drawn.items()}
        write_bytes(outputs.markdown, markdown(tables, links).encode())
        say(f"wrote {outputs.markdown}")
    for out, write in ((outputs.latex, latex), (outputs.csv, as_csv)):
        if out is not None:
            write_bytes(out, write(tables).encode())
            say(f"wrote {out}")
