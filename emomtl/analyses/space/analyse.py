"""From run directories to an analysis, and an analysis into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.analyses.space.coordinates import file_coordinates, taxonomy_coordinates
from emomtl.analyses.space.measures import measure
from emomtl.analyses.space.report import Analysis, as_json, as_markdown
from emomtl.analyses.space.vectors import Question, gather

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins


def analyse(
    runs: Sequence[Path],
    discover: Callable[[], Plugins],
    question: Question,
    permutations: int,
    vad: Path | None = None,
    columns: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
    out: Path | None = None,
) -> Analysis:
    """Measure the spaces of runs over the same texts; with `out` write space.json, space.md and the pictures into that folder.

    `vad` is a file with coordinates of the labels, the taxonomy's own where it is left out; `say` hears what is being done.
    """
    texts, spaces, notes = gather(runs, discover, question, say)
    coordinates = file_coordinates(vad, texts.taxonomy, columns) if vad is not None else taxonomy_coordinates(texts.taxonomy)
    measured = measure(texts, spaces, coordinates, permutations, question.seed, say)
    found = Analysis(texts, coordinates, measured, permutations, question.seed, notes)
    if out is not None:
        write(found, out, say)
    return found


def write(found: Analysis, folder: Path, say: Callable[[str], None]) -> None:
    """Write space.json, space.md and the pictures; what stood there under these names is replaced."""
    from emomtl.analyses.space.pictures import pictures
    from emomtl.report.drawing import save_pictures
    from emomtl.safety.files import storage, write_bytes, write_json

    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    made = save_pictures(pictures(found.texts, found.measured, found.coordinates, found.seed, say), folder)
    write_json(folder / "space.json", as_json(found))
    links = {caption: os.path.relpath(path, folder) for caption, path in made.items()}
    write_bytes(folder / "space.md", as_markdown(found, links).encode())
    for path in (folder / "space.json", folder / "space.md", *made.values()):
        say(f"wrote {path}")
