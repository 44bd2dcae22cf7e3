"""A part of a report: what stands under one heading, before it is known whether it becomes a page,
markdown or files.
"""

from __future__ import annotations

from dataclasses import dataclass

from emomtl.contracts.analysis import Picture, Table


@dataclass(frozen=True)
class Part:
    """What stands under one heading; `aside` says that its tables are for looking up, after the
    pictures and behind a click.
    """

    title: str
    about: str
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]
    aside: bool = False
