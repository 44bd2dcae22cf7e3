"""The check for tasks and task families."""

from __future__ import annotations

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
"""Bad rows that the error lists; the rest is counted."""

SAMPLE = Task(
    "sample",
    Files("*"),
    lambda row: Example(row["text"], row["labels"].split("|")),
    Taxonomy([Label("joy", "The writer is happy."), Label("anger", "The writer is hot with hostility.")]),
    head=MultiLabel(),
)
"""What a derived task is made of where `check_task` is given no `base`, and its rows."""

SAMPLE_ROWS = (
    {"text": "what a lovely day, thank you all", "labels": "joy"},
    {"text": "leave me alone, all of you", "labels": "anger"},
)

Rows = Mapping[str, Sequence[Mapping[str, Any]]] | Sequence[Mapping[str, Any]]


@dataclass
class TaskReport:
    """What `check_task` saw: rows read, rows that `read` dropped, rows without label, and rows by label."""

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
    """Raise one `EmomtlError` with everything that emomtl expects of a task and that does not hold; else say what was seen.

    The name is usable, the head fits the taxonomy, importing the module imports no torch (unless `light_import=False`), and
    for each row: `read` gives an `Example`, several or None, the same when it reads the row again, leaves the row as it was,
    texts are `str`, and the head can encode the label. Over all rows at least two different labels occur, unless the head
    answers with nothing. A family must also work with its default options (or those of the object that is given), and its
    options must read back. A derived task is made of `base`, or of a small sample with two labels, whose rows are then read.

    `rows` are rows as the source gives them, by split or in one list; `source` is a file or folder as in a manifest. Without
    either, the files that a plugin brings along are read (those that it names by an absolute path), or none.
    """
    name = getattr(task, "name", type(task).__name__)
    findings = Findings(f"task '{name}'")
    if base is None and rows is None and source is None and _is_derived(task):
        base, rows = SAMPLE, SAMPLE_ROWS
    if isinstance(task, (TaskFamily, DerivedTask)) or inspect.isclass(task):
        task = _of_family(findings, task, base or SAMPLE)
    if not isinstance(task, Task):
        findings.add(f"is a {type(task).__name__}", "give a Task, a TaskFamily or a family's class")
        raise EmomtlError(*findings.problems)
    _check_declaration(findings, task)
    if light_import:
        _check_import(findings, task)
    report = TaskReport()
    with findings.trying("opening its rows"):
        read = _Reading(findings, task, report)
        read.all(_rows(task, rows, source))
    findings.done()
    return report


def _is_derived(task: Any) -> bool:
    return isinstance(task, DerivedTask) or (inspect.isclass(task) and issubclass(task, DerivedTask))


def _of_family(findings: Findings, family: Any, base: Task) -> Task:
    """The task of a family, or what a derived one makes of `base`; whatever fails ends the check: nothing else can be seen."""
    findings.expect(
        bool(NAME.fullmatch(str(getattr(family, "name", "")))),
        f"the family's name {getattr(family, 'name', None)!r} is not usable",
        'write name: ClassVar[str] = "..." into the class, with letters, digits, - and _',
    )
    task: Task | None = None
    with findings.trying("its default options"):
        options = {"of": base.name} if _is_derived(family) else {}
        made: Any = family(**options) if inspect.isclass(family) else family
        findings.options(made)
        task, again = (made.derive(base) if _is_derived(made) else made.task() for _ in range(2))
        findings.expect(
            (task.name, task.layouts, task.taxonomy, task.head) == (again.name, again.layouts, again.taxonomy, again.head),
            "it gives another task when it is asked again",
            "let it depend on the options alone",
        )
    if task is None:
        findings.done()
    assert task is not None
    return task


def _check_declaration(findings: Findings, task: Task) -> None:
    """Name, taxonomy and head, and that the head's outputs are there."""
    findings.options(task.head)
    findings.expect(task.taxonomy is None or isinstance(task.taxonomy, Taxonomy), "`taxonomy` is no Taxonomy", "Taxonomy([...])")
    if task.taxonomy is not None:
        findings.expect(len(task.taxonomy) > 1, f"its taxonomy has only '{task.taxonomy[0]}'", "a task needs two labels")
        doubtful = [label for label in task.taxonomy if label != label.strip()]
        findings.expect(not doubtful, f"labels with spaces around them: {doubtful}", "take the spaces away")
        findings.expect(bool(task.head.outputs(task.taxonomy)), "its head has no outputs", "give it a taxonomy that it knows")
    with findings.trying("its head and its taxonomy"):
        task.head.check(task.taxonomy)


def _check_import(findings: Findings, task: Task) -> None:
    """Import the module of `read` in a fresh process and see what came with it; a module without a name to import is let be."""
    read = task.read
    while isinstance(read, functools.partial):
        read = read.func
    module = getattr(read, "__module__", None) or type(read).__module__
    try:
        known = module != "__main__" and importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        known = False
    if not known:
        return
    error, heavy = _imported_with(module)
    if error:
        findings.add(f"'{module}' does not import by itself: {error}")
    elif heavy:
        findings.add(f"importing '{module}' imports {heavy}", "import it inside the function that needs it")


@functools.cache
def _imported_with(module: str) -> tuple[str, str]:
    """Why a module does not import in a fresh process, else the heavy packages that came with it; asked once a module."""
    seen = f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    code = f"import importlib, sys; importlib.import_module({module!r}); {seen}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return clean(done.stderr.strip().splitlines()[-1], 200), ""
    return "", done.stdout.strip()


def _rows(task: Task, rows: Rows | None, source: str | Path | None) -> Iterable[tuple[str, int, Mapping[str, Any]]]:
    """(split, number, row) of what was given, else of the task's own files."""
    if rows is not None:
        parts = rows if isinstance(rows, Mapping) else {"train": rows}
        unknown = [split for split in parts if split not in SPLITS]
        if unknown:
            raise EmomtlError(f"unknown split '{unknown[0]}'", remedy=f"{', '.join(SPLITS)}")
        return [(split, number, row) for split, part in parts.items() for number, row in enumerate(part, start=1)]
    own = [one for one in task.layouts if isinstance(one, (Files, RowsSource)) and Path(one.path).is_absolute()]
    if source is None and not own:
        return []
    return _located(task, None if source is None else str(source), own)


def _located(task: Task, source: str | None, own: Sequence[Files | RowsSource]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    from emomtl.data.locate import locate

    located = locate(own if source is None else task.layouts, source, Path.cwd(), task.name)
    for split in located.splits:
        for raw in located.rows(split):
            yield split, raw.number, raw.values


class _Reading:
    """A task's `read` over rows, with everything that is wrong with them."""

    def __init__(self, findings: Findings, task: Task, report: TaskReport) -> None:
        self.findings, self.task, self.report = findings, task, report
        self.bad = 0
        self.examples: list[tuple[str, Example]] = []

    def all(self, rows: Iterable[tuple[str, int, Mapping[str, Any]]]) -> None:
        """Read every row, then encode what was read."""
        for split, number, row in rows:
            self.report.rows += 1
            place = f"{split} row {number}"
            with self._row(place):
                examples = self._read(row)
                self.report.dropped += not examples
                self.examples += [(place, example) for example in examples]
        if self.bad > MOST_ROWS:
            self.findings.add(f"{self.bad - MOST_ROWS} more row(s) do not read")
        if self.report.rows and not self.bad:
            self._encode()

    def _row(self, place: str) -> _Row:
        return _Row(self, place)

    def _read(self, row: Mapping[str, Any]) -> tuple[Example, ...]:
        before = copy.deepcopy(dict(row))
        first = self.task.examples(row)
        if dict(row) != before:
            raise EmomtlError("`read` changed the row", remedy="copy what you change")
        if repr(self.task.examples(row)) != repr(first):
            raise EmomtlError("`read` gives another example when it reads the row again", remedy="keep no state, draw nothing")
        for text in (text for example in first for text in (example.text, example.pair or "")):
            if not isinstance(text, str):
                raise EmomtlError(f"the text is {type(text).__name__}, not a string", remedy="take the text from the row")
        return first

    def _encode(self) -> None:
        """Every label through the head; at least two must differ."""
        from emomtl.data.label_checks import label_counts

        self.report.labels = label_counts([example.label for _, example in self.examples])
        taxonomy = self.task.taxonomy
        if taxonomy is None and self.report.labels:
            taxonomy = Taxonomy(sorted(self.report.labels))
        different: set[bytes] = set()
        for place, example in self.examples:
            with self._row(place):
                different |= self._target(example, taxonomy)
        if self.bad > MOST_ROWS:
            self.findings.add(f"{self.bad - MOST_ROWS} more label(s) do not fit")
        said = f"{self.report.rows} row(s) have {len(different)} different label(s)"
        least = 0 if self.task.head.answers == "nothing" else 1
        self.findings.expect(bool(self.bad) or len(different) > least, said, "a task needs two; give rows of both")

    def _target(self, example: Example, taxonomy: Taxonomy | None) -> set[bytes]:
        """The encoded label as bytes; nothing where the row has none."""
        import numpy as np

        target = np.asarray(self.task.head.encode(example.label, taxonomy))
        if not self.task.head.present(target[np.newaxis])[0]:
            self.report.unlabelled += 1
            return set()
        return {target.tobytes()}


class _Row:
    """The context of one row: what is raised in it is a problem of that row, and the first ten are listed."""

    def __init__(self, reading: _Reading, place: str) -> None:
        self.reading, self.place = reading, place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        self.reading.bad += 1
        if self.reading.bad <= MOST_ROWS:
            problem = _said(error)
            self.reading.findings.add(problem.found, problem.remedy, self.place)
        return True


def _said(error: Exception) -> Problem:
    """What a row's error says; the words of the framework where it is one of its own."""
    if isinstance(error, EmomtlError):
        return error.problems[0]
    if isinstance(error, KeyError):
        return Problem("", f"`read` found no column {quoted(error.args[0] if error.args else '')}", "look at the source's header")
    return Problem("", f"`read` raised {type(error).__name__}: {clean(str(error))}", "mend the row, or the task's `read`")
