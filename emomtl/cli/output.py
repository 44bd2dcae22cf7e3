"""What the command line prints: results on stdout, everything else on stderr; text from outside is never markup."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.safety.escaping import json_text, printable, printable_lines
from emomtl.safety.redaction import masked

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

    from emomtl.metrics.scoring import TaskScores
    from emomtl.report.fitted import FittedTable


def console(stderr: bool = False) -> Console:
    """A console that never reads markup, emoji codes or highlights into what it prints, and prints no line as it was given."""
    from rich.console import Console

    class Screen(Console):
        """A console on which lines from outside move nothing."""

        def print(self, *objects: Any, **options: Any) -> None:
            shown = [printable_lines(one) if isinstance(one, str) else one for one in objects]
            if not stderr:
                super().print(*shown, **options)
                return
            with suppress(OSError):
                super().print(*shown, **options)

    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 200
    return Screen(stderr=stderr, markup=False, emoji=False, highlight=False, width=width)


def say(line: str) -> None:
    """One line for the user, on stderr."""
    with suppress(OSError):  # a standard error that is full or gone must not end what it only tells of
        print(printable(masked(line)), file=sys.stderr, flush=True)


def say_problems(error: EmomtlError) -> None:
    """Every problem of an error, one a line."""
    many = len(error.problems) > 1
    if many:
        say(f"{len(error.problems)} problems:")
    for problem in error.problems:
        say(("  " if many else "error: ") + str(problem))


def say_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback of a bug of ours, on stderr, without secrets."""
    import traceback

    sys.stderr.write(printable_lines(masked("".join(traceback.format_exception(kind, error, trace)))))


def say_stopped(error: Exception) -> int | None:
    """The exit code of an error that is no bug of ours: usage, an exit that was asked for, a signal; None for a bug."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        where = clean(str(error.filename), 200)
        say_problems(EmomtlError(Problem(where, "this path is longer than the system takes", "give a shorter one")))
        return 1
    code = getattr(error, "exit_code", None)
    if hasattr(error, "show") and isinstance(code, int):
        shown = io.StringIO()
        error.show(file=shown)
        sys.stderr.write(printable_lines(shown.getvalue()))
        return code
    if isinstance(code, int):
        return code
    if type(error).__name__ == "Abort":
        return 130
    if type(error).__name__ == "Interrupted":
        say(f"stopped: {error}")
        return int(error.code)  # type: ignore[attr-defined]
    return None


def print_json(data: Any) -> None:
    """JSON on stdout; numbers in full, NaN never."""
    print(json_text(data, indent=2))


def make_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> FittedTable:
    """A table whose cells are plain text; numbers stand right, and nothing is cut inside a word at any width."""
    from emomtl.report.fitted import FittedTable

    numeric = [
        bool(rows) and all(isinstance(row[place], (int, float)) or row[place] is None for row in rows)
        for place in range(len(columns))
    ]
    cells = [[cell(value) for value in row] for row in rows]
    return FittedTable(printable(title), [printable(name) for name in columns], cells, numeric, printable(caption))


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return clean(str(value), 2000)


def scores_table(title: str, scores: Mapping[str, Mapping[str, TaskScores]], caption: str = "") -> FittedTable:
    """Scores as one short table: a row per task and checkpoint, and the metrics that heads name first.

    The main metric of a task on each grouping of its labels comes last.
    """
    every = [one for found in scores.values() for one in found.values()]
    first = dict.fromkeys(name for one in every for name in one.facts.headline)
    on_groupings = {f"{grouping}/{one.facts.main_metric}" for one in every for grouping in one.tables if grouping}
    names = [name for name in (*first, *sorted(on_groupings)) if any(name in one.metrics for one in every)]
    rows = []
    for task in dict.fromkeys(task for found in scores.values() for task in found):
        checkpoints: dict[int, list[str]] = {}
        for which in sorted(scores):  # best before last
            if task in scores[which]:
                checkpoints.setdefault(id(scores[which][task]), []).append(which)
        for named in checkpoints.values():  # best and last are one row where they are one checkpoint, scored once
            one = scores[named[0]][task]
            rows.append([task, ", ".join(named), one.rows, *(one.metrics.get(name, "") for name in names)])
    return make_table(title, ["task", "checkpoint", "rows", *names], rows, caption)


def scores_json(run: str, split: str, scores: Mapping[str, TaskScores]) -> dict[str, Any]:
    """The answer of `--json`: figures by their full names under each task."""
    return {"run": run, "split": split, "tasks": {task: one.metrics for task, one in scores.items()}}


def sources_of(given: Sequence[str]) -> dict[str, str]:
    """What `--source TASK=PATH` says: absolute paths (or `hub:ID`) by task."""
    found = {}
    for text in given:
        task, equals, path = text.partition("=")
        if not equals or not path:
            raise EmomtlError(Problem("--source", f"'{text}' is not TASK=PATH", "such as --source goemotions=data/goemotions"))
        found[task] = str(Path(path).expanduser().resolve()) if not path.startswith("hub:") else path
    return found


def rows_problems(split: str, allow_changed: str | None) -> list[Problem]:
    """What is wrong with `--split` and `--allow-changed` of an analysis."""
    from emomtl.contracts.sources import SPLITS

    problems = []
    if split not in SPLITS:
        problems.append(Problem("--split", f"'{split}' is no split", suggest(split, SPLITS)))
    if allow_changed not in (None, "data"):
        problems.append(Problem("--allow-changed", f"'{allow_changed}' is not known here", "data"))
    return problems
