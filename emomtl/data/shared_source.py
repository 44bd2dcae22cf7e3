"""One `--source` for all tasks of a corpus: those with the same layouts and `source`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.contracts.sources import Source

CorpusKey = tuple[tuple["Source", ...], str | None]
"""What tells a task's corpus: its layouts, and the `source` that its manifest names."""


def sources_for_all(
    given: Mapping[str, str],
    tasks: Mapping[str, CorpusKey],
    others: Mapping[str, CorpusKey] | None = None,
) -> dict[str, str]:
    """Where each task's rows are: as `given` for it, or for another task of the same corpus.

    `others` are tasks that are given and are not among `tasks`. EmomtlError where two places are
    given for one corpus, and a third task of it is not named.
    """
    corpora = {**(others or {}), **tasks}
    sources = {}
    for task, corpus in tasks.items():
        if task in given:
            sources[task] = given[task]
            continue
        task_by_place = {given[name]: name for name in given if corpora.get(name) == corpus}
        if len(task_by_place) > 1:
            named = " and ".join(f"'{name}'" for name in task_by_place.values())
            found = f"'{task}' reads the corpus of {named}, for which different places are given"
            raise EmomtlError(Problem("--source", found, f"name its own: --source {task}=PATH"))
        if task_by_place:
            sources[task] = next(iter(task_by_place))
    return sources
