"""How the caller says that a file of new texts is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Choices:
    """What the caller says of a file; what is None is taken from the run's own tasks."""

    text: str | None = None
    pair: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None
    quoting: Literal["csv", "none"] | None = None
