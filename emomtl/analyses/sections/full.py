"""The parts of a report that need the models and the corpora, for all runs of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.analyses.sections import errors, gradients
from emomtl.analyses.sections.leaks import ABOUT, leak_table
from emomtl.analyses.sections.reading import read_run
from emomtl.analyses.sections.space import space_part
from emomtl.contracts.analysis import Table
from emomtl.errors import EmomtlError, Problem, suggest
from emomtl.report.parts import Part

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins

LOOK = "This was a look at test that scores.json does not count: choose nothing by it."


def full_parts(
    runs: Mapping[str, Path],
    discover: Callable[[], Plugins],
    split: str,
    sources: Mapping[str, str],
    device: str,
    most: int,
    say: Callable[[str], None],
) -> list[Part]:
    """Worst errors (at most `most` a task, none with 0), spaces, conflicts and leaks of the best checkpoints of runs, by name.

    `sources` says where rows of tasks are, for the runs that have the task; `discover` makes the plugins anew for each run.
    EmomtlError where a corpus is not the one trained on. What cannot be asked of these runs is said in its section.
    """
    known: dict[str, None] = {}
    tables: list[Table] = []
    measured: list[gradients.Conflicts] = []
    unmeasured: list[str] = []
    leaking: list[Table] = []
    for name, folder in runs.items():
        read = read_run(folder, discover(), split, sources, device, say)
        known |= dict.fromkeys(read.trained.plan.tasks)
        tables += errors.error_tables(read, name, most) if most else ()
        say(f"{folder}: leaks and gradients")
        places = {task: place for task, place in sources.items() if task in read.trained.plan.tasks}
        leaking.append(leak_table(read.trained, name, places))
        try:
            found = gradients.conflicts(read, name)
        except EmomtlError as error:
            unmeasured.append(f"{name}: {error}")
            continue
        if found is not None:
            measured.append(found)
    for task in sources:
        if task not in known:
            raise EmomtlError(Problem("--source", f"'{task}' is no task of these runs", suggest(task, known)))
    warning = f" {LOOK}" if split == "test" else ""
    made = [Part(f"Worst errors on {split}", errors.ABOUT + warning, tuple(tables), ())] if tables else []
    try:
        made.append(space_part(list(runs.values()), list(runs), discover, split, sources, device, say))
    except EmomtlError as error:  # by now the rows are known to be those of training
        made.append(Part("Embedding space", f"Not shown: {error}", (), ()))
    if measured or unmeasured:
        about = " ".join([gradients.ABOUT, *unmeasured]) + warning
        shown = ((gradients.conflict_table(measured),), (gradients.conflict_picture(measured),)) if measured else ((), ())
        made.append(Part("Gradient conflicts", about, *shown))
    return [*made, Part("Leaks", ABOUT, tuple(leaking), ())]
