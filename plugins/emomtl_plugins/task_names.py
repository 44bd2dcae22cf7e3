"""The error for an option that names a task which the run does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_tasks(names: Iterable[str], tasks: Iterable[str]) -> list[str]:
    """A sentence for each of `names` that is not among `tasks`, with the name probably meant."""
    known = list(tasks)
    problems = []
    for name in names:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"its tasks: {', '.join(known)}"
        problems.append(f"{name!r} is not a task of the run; {hint}")
    return problems
