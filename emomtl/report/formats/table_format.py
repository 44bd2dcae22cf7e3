"""What a format of tables is: how it is called, the ending of its files, and its writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from emomtl.contracts.analysis import Table


@dataclass(frozen=True)
class TableFormat:
    """A text format for tables.

    `name` becomes the option `--NAME FILE` of `emomtl report` with `help`, `ending` that of the
    file that a study leaves in its folder. `write` takes the tables, and paths of figures by
    caption, which a format without pictures ignores.
    """

    name: str
    ending: str
    help: str
    write: Callable[[Sequence[Table], Mapping[str, str]], str]
