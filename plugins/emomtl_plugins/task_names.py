"""What to say where an option names a task that the run does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_tasks(names: Iterable[str], tasks: Iterable[str]) -> list[str]:
    """One sentence for each of `names` that is not among the `tasks` of the run, with what was probably meant."""
    known = list(tasks)
    found = []
    for name in names:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"its tasks: {', '.join(known)}"
        found.append(f"{name!r} is not a task of the run; {hint}")
    return found
