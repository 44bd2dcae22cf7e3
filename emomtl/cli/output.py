"""What the command line prints: results on stdout, everything else on stderr; text from outside is
never markup.
"""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.escaping import json_text, printable, printable_lines
from emomtl.safety.redaction import masked

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

    from emomtl.metrics.scoring import TaskScores
    from emomtl.report.fitted import FittedTable


def console(stderr: bool = False) -> Console:
    """A rich console that prints text as it is: without markup, emoji or control characters."""
    from rich.console import Console

    class PlainConsole(Console):
        """Escapes control characters, with which a text from outside could move the cursor."""

        def print(self, *objects: Any, **options: Any) -> None:
            escaped = [printable_lines(item) if isinstance(item, str) else item for item in objects]
            if stderr:
                with suppress(OSError):  # as in `say`
                    super().print(*escaped, **options)
            else:
                super().print(*escaped, **options)

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 200
    return PlainConsole(stderr=stderr, markup=False, emoji=False, highlight=False, width=width)


def say(line: str) -> None:
    """One line for the user, on stderr."""
    # A standard error that is full or closed must not end the command.
    with suppress(OSError):
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

    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(printable_lines(masked(text)))


def exit_code_of(error: Exception) -> int | None:
    """Print an error that is no bug, such as wrong usage or a signal, and return its exit code.

    None for a bug.
    """
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        path = clean(str(error.filename), 200)
        found = "this path is longer than the system takes"
        say_problems(EmomtlError(Problem(path, found, "give a shorter one")))
        return 1
    # Errors of click and typer are told by their attributes: typer may bring a click of its own.
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        if hasattr(error, "show"):
            message = io.StringIO()
            error.show(file=message)
            sys.stderr.write(printable_lines(message.getvalue()))
        return code
    if type(error).__name__ == "Abort":
        return 130
    if type(error).__name__ == "Interrupted":  # by name, so that torch is not imported here
        say(f"stopped: {error}")
        return int(error.code)  # type: ignore[attr-defined]
    return None


def print_json(data: Any) -> None:
    """JSON on stdout; numbers in full, NaN never."""
    print(json_text(data, indent=2))


def make_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = ""
) -> FittedTable:
    """A table of plain text that fits the terminal; columns of numbers are aligned right."""
    from emomtl.report.fitted import FittedTable

    numeric = []
    for place in range(len(columns)):
        values = [row[place] for row in rows]
        numbers = [value for value in values if value is None or isinstance(value, (int, float))]
        numeric.append(bool(rows) and len(numbers) == len(values))
    names = [printable(name) for name in columns]
    cells = [[cell(value) for value in row] for row in rows]
    return FittedTable(printable(title), names, cells, numeric, printable(caption))


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


def scores_table(
    title: str, scores: Mapping[str, Mapping[str, TaskScores]], caption: str = ""
) -> FittedTable:
    """Scores by checkpoint and task, a row each: first the metrics that heads show first.

    The main metric of a task on each grouping of its labels comes last.
    """
    by_task: dict[str, dict[str, TaskScores]] = {}
    for checkpoint in sorted(scores):  # best before last
        for task, task_scores in scores[checkpoint].items():
            by_task.setdefault(task, {})[checkpoint] = task_scores
    names = _shown_metrics([item for scores in by_task.values() for item in scores.values()])
    rows = []
    for task, task_checkpoints in by_task.items():
        # best and last are one row if they are one checkpoint, scored once
        names_by_scores: dict[int, list[str]] = {}
        for checkpoint, task_scores in task_checkpoints.items():
            names_by_scores.setdefault(id(task_scores), []).append(checkpoint)
        for checkpoint_names in names_by_scores.values():
            task_scores = task_checkpoints[checkpoint_names[0]]
            values = [task_scores.metrics.get(name, "") for name in names]
            rows.append([task, ", ".join(checkpoint_names), task_scores.rows, *values])
    return make_table(title, ["task", "checkpoint", "rows", *names], rows, caption)


def _shown_metrics(scores: Sequence[TaskScores]) -> list[str]:
    """The metrics that tasks show first, then their main metrics on groupings."""
    names: list[str] = []
    on_groupings = set()
    for task_scores in scores:
        names += task_scores.facts.headline
        for grouping in filter(None, task_scores.tables):
            on_groupings.add(f"{grouping}/{task_scores.facts.main_metric}")
    names = list(dict.fromkeys([*names, *sorted(on_groupings)]))
    return [name for name in names if any(name in task_scores.metrics for task_scores in scores)]


def scores_json(run: str, split: str, scores: Mapping[str, TaskScores]) -> dict[str, Any]:
    """What `--json` prints: metrics by their full names under each task."""
    tasks = {task: task_scores.metrics for task, task_scores in scores.items()}
    return {"run": run, "split": split, "tasks": tasks}


def sources_of(options: Sequence[str]) -> dict[str, str]:
    """The values of `--source TASK=PATH`: absolute paths (or `hub:ID`) by task."""
    sources = {}
    for option in options:
        task, _, path = option.partition("=")
        if not path:
            found = f"'{option}' is not TASK=PATH"
            remedy = "such as --source goemotions=data/goemotions"
            raise EmomtlError(Problem("--source", found, remedy))
        is_hub = path.startswith("hub:")
        sources[task] = path if is_hub else str(Path(path).expanduser().resolve())
    return sources
