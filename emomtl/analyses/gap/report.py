"""Gaps as tables, as JSON, and as a folder with one Markdown text and its picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emomtl.analyses.gap.measure import SPLITS, Gap, Measured
from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.bootstrap import LEVEL, RESAMPLES, BootstrapEstimate
from emomtl.report.formats.markdown import escape, markdown

COLUMNS = ("figure", "run", "checkpoint", "step", *SPLITS, "gap", "low", "high", "difference", "its low", "its high")


def remarks(found: Measured) -> list[str]:
    """What was taken, and what the numbers do not say."""
    sizes = " and ".join(f"{found.rows[split]:,} of {found.of[split]:,} {split} rows" for split in SPLITS)
    return [
        f"{sizes} with a label, as the run read them: those whose hash is lowest. Dropout is off on both.",
        "A gap above 0 says that the run is better on train; `difference` is from the gap of the first run.",
        f"Intervals hold {LEVEL:.0%} of {RESAMPLES:,} samples of the rows, the same for every run; seeds are not in them.",
        "A checkpoint called best was chosen on validation, which makes its gap look a little smaller.",
        *found.notes,
    ]


def tables(found: Measured) -> list[Table]:
    """A row for each figure, run and checkpoint."""
    rows: list[tuple[Cell, ...]] = []
    for name in dict.fromkeys(name for one in found.gaps for name in one.gaps):
        for one in (one for one in found.gaps if name in one.gaps):
            values = [one.figures[name, split].value for split in SPLITS]
            tail: tuple[Cell, ...] = ("", "", "")
            if name in one.differences:
                tail = _spread(one.differences[name])
            rows.append((name, one.run, one.which, one.step, *values, *_spread(one.gaps[name]), *tail))
    title = f"Gap between train and validation: {found.task}"
    about = tuple(dict.fromkeys((one.run, one.about) for one in found.gaps))
    return [Table("Runs", ("run", "what it is"), about), Table(title, COLUMNS, tuple(rows), tuple(remarks(found)))]


def _spread(figure: BootstrapEstimate) -> tuple[Cell, ...]:
    return (figure.value, *(figure.interval or (None, None)))


def as_json(found: Measured) -> dict[str, Any]:
    """Every number in full."""
    return {
        "task": found.task,
        "rows": dict(found.rows),
        "of": dict(found.of),
        "seed": found.seed,
        "resamples": RESAMPLES,
        "notes": remarks(found),
        "runs": [_run(one) for one in found.gaps],
    }


def _run(one: Gap) -> dict[str, Any]:
    figures: dict[str, dict[str, Any]] = {}
    for name, gap in one.gaps.items():
        figures[name] = {split: _figure(one.figures[name, split]) for split in SPLITS}
        figures[name]["gap"] = _figure(gap)
        if name in one.differences:
            figures[name]["difference"] = _figure(one.differences[name])
    return {"run": one.run, "about": one.about, "checkpoint": one.which, "step": one.step, "figures": figures}


def _figure(figure: BootstrapEstimate) -> dict[str, float | None]:
    low, high = figure.interval or (None, None)
    return {"value": figure.value, "low": low, "high": high}


def as_markdown(found: Measured, pictures: Mapping[str, str]) -> str:
    """The tables, then the picture (caption to relative path)."""
    return f"# The gap of {escape(found.task)}\n\n{markdown(tables(found), pictures)}"


def write(found: Measured, folder: Path, say: Callable[[str], None]) -> None:
    """Write gap.json, gap.md and the picture; what stood there under these names is replaced."""
    from emomtl.analyses.gap.picture import picture
    from emomtl.safety.files import storage, write_bytes, write_json

    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    drawn = picture(found, folder / "gap.png")
    write_json(folder / "gap.json", as_json(found))
    write_bytes(folder / "gap.md", as_markdown(found, {"Train and validation": os.path.relpath(drawn, folder)}).encode())
    for name in ("gap.json", "gap.md", drawn.name):
        say(f"wrote {folder / name}")
