"""Real corpora for the tests of task plugins, where EMOMTL_CORPORA names a folder with them."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from emomtl import Files, Task, TaskFamily

Rows = Iterator[dict[str, Any]]


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora; the test is skipped without one."""
    folder = os.environ.get("EMOMTL_CORPORA")
    if not folder:
        pytest.skip("EMOMTL_CORPORA names no folder with the real corpora")
    return Path(folder)


@pytest.fixture(scope="session")
def rows_of() -> Callable[[Files, Path], Rows]:
    """The rows of one CSV or TSV file as a layout declares them, read with Python's csv."""

    def rows(layout: Files, path: Path) -> Rows:
        delimiter, plain = layout.delimiter or ",", layout.quoting == "none"
        with path.open(encoding=layout.encoding, newline="") as file:
            dialect = {"quoting": csv.QUOTE_NONE} if plain else {"strict": True}
            reader = csv.reader(file, delimiter=delimiter, **dialect)
            names = next(reader) if layout.header else list(layout.columns or ())
            if isinstance(layout.columns, Mapping):
                names = [layout.columns.get(name, name) for name in names]
            for cells in reader:
                yield dict(zip(names, cells, strict=True))

    return rows


@pytest.fixture(scope="session")
def offered() -> dict[str, Task]:
    """Every task that our plugins offer, by name; families with their defaults."""
    from emomtl_tasks import (
        demo,
        emobank,
        goemotions,
        sentiment140,
        sst2,
        suicide_depression,
        table,
    )

    modules = (demo, emobank, goemotions, sentiment140, sst2, suicide_depression, table)
    offers = [offer for module in modules for offer in module.emomtl_tasks()]
    tasks = [
        offer().task() if isinstance(offer, type) and issubclass(offer, TaskFamily) else offer
        for offer in offers
    ]
    return {task.name: task for task in tasks}
