"""The check for tasks and task families."""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emomtl.contracts.heads import MultiLabel
from emomtl.contracts.sources import SPLITS, Files
from emomtl.contracts.sources import Rows as RowsSource
from emomtl.contracts.task import NAME, DerivedTask, Example, Task, TaskFamily
from emomtl.contracts.taxonomy import Label, Taxonomy
from emomtl.errors import EmomtlError, Problem, clean, quoted
from emomtl.testing.findings import Findings

HEAVY = ("torch", "transformers", "datasets")
MOST_ROWS = 10
"""The bad rows that the error lists; the others are counted."""

SAMPLE = Task(
    "sample",
    Files("*"),
    lambda row: Example(row["text"], row["labels"].split("|")),
    Taxonomy(
        [Label("joy", "The writer is happy."), Label("anger", "The writer is hot with hostility.")]
    ),
    head=MultiLabel(),
)
"""What a derived task is made of where `check_task` is given no `base`, with its rows."""

SAMPLE_ROWS = (
    {"text": "what a lovely day, thank you all", "labels": "joy"},
    {"text": "leave me alone, all of you", "labels": "anger"},
)

Rows = Mapping[str, Sequence[Mapping[str, Any]]] | Sequence[Mapping[str, Any]]
PlacedRow = tuple[str, Mapping[str, Any]]
"""A row with its place, such as `train row 3`."""


@dataclass
class TaskReport:
    """What `check_task` saw: rows read, dropped by `read`, without label, and rows by label."""

    rows: int = 0
    dropped: int = 0
    unlabelled: int = 0
    labels: dict[str, int] = field(default_factory=dict)


def check_task(
    task: Task | TaskFamily | DerivedTask | type[TaskFamily | DerivedTask],
    rows: Rows | None = None,
    source: str | Path | None = None,
    *,
    base: Task | None = None,
    light_import: bool = True,
) -> TaskReport:
    """Raise one `EmomtlError` with everything that emomtl expects of a task and that does not hold.

    The name must be usable, the head must fit the taxonomy, and importing the module must import no
    torch (unless `light_import=False`). For each row `read` must give an `Example`, several or
    None, the same when it reads the row again, leave the row as it was, and give texts that are
    `str` and a label that the head can encode. Over all rows at least two different labels must
    occur, unless the head answers with nothing. A family must also work with its default options
    (or those of the object that is given), and its options must read back. A derived task is made
    of `base`, or of a small sample with two labels, whose rows are then read.

    `rows` are rows as the source gives them, by split or in one list; `source` is a file or folder
    as in a manifest. Without either, the files that a plugin brings along are read (those that it
    names by an absolute path), or none.
    """
    name = getattr(task, "name", type(task).__name__)
    findings = Findings(f"task '{name}'")
    if base is None and rows is None and source is None and _is_derived(task):
        base, rows = SAMPLE, SAMPLE_ROWS
    if isinstance(task, (TaskFamily, DerivedTask)) or inspect.isclass(task):
        task = _task_of(findings, task, base or SAMPLE)
    if not isinstance(task, Task):
        findings.add(f"is a {type(task).__name__}", "give a Task, a TaskFamily or a family's class")
        raise EmomtlError(*findings.problems)
    _check_declaration(findings, task)
    if light_import:
        _check_import(findings, task)
    reading = _Reading(findings, task)
    with findings.trying("opening its rows"):
        reading.read_all(_placed_rows(task, rows, source))
    findings.done()
    return reading.report


def _is_derived(task: Any) -> bool:
    return issubclass(task if inspect.isclass(task) else type(task), DerivedTask)


def _task_of(findings: Findings, offer: Any, base: Task) -> Task:
    """The task of a family, or what a derived one makes of `base`; a failure ends the check."""
    name = getattr(offer, "name", None)
    problem = f"the family's name {name!r} is not usable"
    remedy = 'write name: ClassVar[str] = "..." into the class, with letters, digits, - and _'
    findings.expect(bool(NAME.fullmatch(str(name or ""))), problem, remedy)
    tasks: list[Task] = []
    with findings.trying("its default options"):
        is_class, family = inspect.isclass(offer), offer
        if is_class:
            family = offer(of=base.name) if _is_derived(offer) else offer()
        findings.options(family)
        for _ in range(2):
            tasks.append(family.derive(base) if _is_derived(family) else family.task())
        facts = [(task.name, task.layouts, task.taxonomy, task.head) for task in tasks]
        problem = "it gives another task when it is asked again"
        findings.expect(facts[0] == facts[1], problem, "let it depend on the options alone")
    if not tasks:
        findings.done()
    return tasks[0]


def _check_declaration(findings: Findings, task: Task) -> None:
    """Check the taxonomy and the head, and that the head has outputs."""
    findings.options(task.head)
    taxonomy = task.taxonomy
    is_taxonomy = taxonomy is None or isinstance(taxonomy, Taxonomy)
    findings.expect(is_taxonomy, "`taxonomy` is no Taxonomy", "Taxonomy([...])")
    if taxonomy is not None:
        problem = f"its taxonomy has only '{taxonomy[0]}'"
        findings.expect(len(taxonomy) > 1, problem, "a task needs two labels")
        spaced = [label for label in taxonomy if label != label.strip()]
        problem = f"labels with spaces around them: {spaced}"
        findings.expect(not spaced, problem, "take the spaces away")
        outputs = task.head.outputs(taxonomy)
        remedy = "give it a taxonomy that it knows"
        findings.expect(bool(outputs), "its head has no outputs", remedy)
    with findings.trying("its head and its taxonomy"):
        task.head.check(taxonomy)


def _check_import(findings: Findings, task: Task) -> None:
    """Import the module of `read` in a fresh process and see what else was imported.

    A module without a name to import, such as a notebook, is not checked.
    """
    read = task.read
    while isinstance(read, functools.partial):
        read = read.func
    module = getattr(read, "__module__", None) or type(read).__module__
    try:
        importable = module != "__main__" and importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        importable = False
    if not importable:
        return
    error, heavy = _imported_with(module)
    if error:
        findings.add(f"'{module}' does not import by itself: {error}")
    elif heavy:
        problem = f"importing '{module}' imports {heavy}"
        findings.add(problem, "import it inside the function that needs it")


@functools.cache
def _imported_with(module: str) -> tuple[str, str]:
    """Why a module does not import in a fresh process, and the heavy packages that came with it."""
    code = (
        f"import importlib, sys; importlib.import_module({module!r}); "
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    python_path = os.pathsep.join(part for part in sys.path if part)
    environment = os.environ | {"PYTHONPATH": python_path}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return clean(done.stderr.strip().splitlines()[-1], 200), ""
    return "", done.stdout.strip()


def _placed_rows(task: Task, rows: Rows | None, source: str | Path | None) -> Iterator[PlacedRow]:
    """The rows that were given, else those of the task's own files."""
    if rows is not None:
        by_split = rows if isinstance(rows, Mapping) else {"train": rows}
        for split, split_rows in by_split.items():
            if split not in SPLITS:
                raise EmomtlError(f"unknown split '{split}'", remedy=f"{', '.join(SPLITS)}")
            for number, row in enumerate(split_rows, start=1):
                yield f"{split} row {number}", row
        return
    layouts = task.layouts
    if source is None:  # the files that the plugin brings along
        files = [layout for layout in layouts if isinstance(layout, (Files, RowsSource))]
        layouts = tuple(layout for layout in files if Path(layout.path).is_absolute())
        if not layouts:
            return
    from emomtl.data.locate import locate

    located = locate(layouts, None if source is None else str(source), Path.cwd(), task.name)
    for split in located.splits:
        for raw in located.rows(split):
            yield f"{split} row {raw.number}", raw.values


class _Reading:
    """Reads rows with a task, and gathers what is wrong with them."""

    def __init__(self, findings: Findings, task: Task) -> None:
        self.findings, self.task, self.report = findings, task, TaskReport()
        self.bad = 0
        self.examples: list[tuple[str, Example]] = []

    def read_all(self, rows: Iterable[PlacedRow]) -> None:
        """Read every row, then encode what was read."""
        for place, row in rows:
            self.report.rows += 1
            with self._row(place):
                examples = self._read(row)
                self.report.dropped += not examples
                self.examples += [(place, example) for example in examples]
        if self.bad > MOST_ROWS:
            self.findings.add(f"{self.bad - MOST_ROWS} more row(s) do not read")
        if self.report.rows and not self.bad:
            self._encode_all()

    @contextlib.contextmanager
    def _row(self, place: str) -> Iterator[None]:
        """Make a problem of the row of what is raised inside; the first ten are listed."""
        try:
            yield
        except Exception as error:  # a stranger's code may raise anything
            self.bad += 1
            if self.bad <= MOST_ROWS:
                problem = _problem(error)
                self.findings.add(problem.found, problem.remedy, place)

    def _read(self, row: Mapping[str, Any]) -> tuple[Example, ...]:
        before = copy.deepcopy(dict(row))
        examples = self.task.examples(row)
        if dict(row) != before:
            raise EmomtlError("`read` changed the row", remedy="copy what you change")
        if repr(self.task.examples(row)) != repr(examples):
            problem = "`read` gives another example when it reads the row again"
            raise EmomtlError(problem, remedy="keep no state, draw nothing")
        for example in examples:
            for text in (example.text, example.pair or ""):
                if not isinstance(text, str):
                    problem = f"the text is {type(text).__name__}, not a string"
                    raise EmomtlError(problem, remedy="take the text from the row")
        return examples

    def _encode_all(self) -> None:
        """Encode every label with the head; at least two must differ."""
        from emomtl.data.label_checks import label_counts

        self.report.labels = label_counts([example.label for _, example in self.examples])
        taxonomy = self.task.taxonomy
        if taxonomy is None and self.report.labels:
            taxonomy = Taxonomy(sorted(self.report.labels))
        targets: set[bytes] = set()
        for place, example in self.examples:
            with self._row(place):
                targets |= self._target(example, taxonomy)
        if self.bad > MOST_ROWS:
            self.findings.add(f"{self.bad - MOST_ROWS} more label(s) do not fit")
        if not self.bad:
            needed = 1 if self.task.head.answers == "nothing" else 2
            problem = f"{self.report.rows} row(s) have {len(targets)} different label(s)"
            remedy = "a task needs two; give rows of both"
            self.findings.expect(len(targets) >= needed, problem, remedy)

    def _target(self, example: Example, taxonomy: Taxonomy | None) -> set[bytes]:
        """The encoded label as bytes; nothing where the row has none."""
        import numpy as np

        target = np.asarray(self.task.head.encode(example.label, taxonomy))
        if not self.task.head.present(target[np.newaxis])[0]:
            self.report.unlabelled += 1
            return set()
        return {target.tobytes()}


def _problem(error: Exception) -> Problem:
    """What is wrong with a row, by the error that it raised."""
    if isinstance(error, EmomtlError):
        return error.problems[0]
    if isinstance(error, KeyError):
        column = quoted(error.args[0] if error.args else "")
        return Problem("", f"`read` found no column {column}", "look at the source's header")
    problem = f"`read` raised {type(error).__name__}: {clean(str(error))}"
    return Problem("", problem, "mend the row, or the task's `read`")
