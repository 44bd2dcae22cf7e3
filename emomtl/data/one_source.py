"""One `--source` for all tasks of a corpus: those that read the same layouts as a task that is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.contracts.sources import Source

Reads = tuple[tuple["Source", ...], str | None]
"""What tells a task's corpus: its layouts, and the `source` that its manifest names."""


def for_all(given: Mapping[str, str], tasks: Mapping[str, Reads], known: Mapping[str, Reads] | None = None) -> dict[str, str]:
    """Where each task's rows are: as it is `given`, else as it is given for a task of the same corpus.

    `known` tells of tasks that are given and are not among `tasks`. EmomtlError where two places are given for one corpus and
    a third task of it is not named.
    """
    reads = {**(known or {}), **tasks}
    found = {task: given[task] for task in tasks if task in given}
    for task, corpus in tasks.items():
        places = {given[name]: name for name in given if reads.get(name) == corpus}
        if task in given or not places:
            continue
        if len(places) > 1:
            named = " and ".join(f"'{name}'" for name in places.values())
            what = f"'{task}' reads the corpus of {named}, for which different places are given"
            raise EmomtlError(Problem("--source", what, f"name its own: --source {task}=PATH"))
        found[task] = next(iter(places))
    return found
