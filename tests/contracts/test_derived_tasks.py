"""Tasks made of another task's rows: resolved after the others, with their source, and checked like
any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from emomtl.compose import compose_file
from emomtl.errors import EmomtlError
from emomtl.plugins.discovery import Plugins

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar

from emomtl import DerivedTask, Example, SingleLabel, Task, Taxonomy, hookimpl


@dataclass(frozen=True)
class Length(DerivedTask):
    name: ClassVar[str] = "length"
    of: str
    long: int = 30

    def derive(self, base):
        def read(row):
            example = base.read(row)
            return Example(example.text, "long" if len(example.text) >= self.long else "short")

        labels = Taxonomy(["short", "long"])
        return Task(
            self.name, base.sources, read, labels, head=SingleLabel(), split=base.split
        )


@hookimpl
def emomtl_tasks():
    return [Length]
"""


@pytest.fixture
def with_length(install: Callable[..., None]) -> None:
    install("emomtl-length", {"emomtl_length": PLUGIN}, {"length": "emomtl_length"})


def test_a_derived_task_trains_on_its_bases_rows(desk: Any, with_length: None) -> None:
    manifest = desk.manifest(tasks={"long": {"use": "length", "options": {"of": "mood"}}})
    run = desk.train(manifest)
    assert run.manifest.tasks["long"].options == {"of": "mood", "long": 30}
    assert run.environment["sizes"]["long"] == run.environment["sizes"]["mood"]
    assert "macro_f1" in run.scores()[-1]["tasks"]["long"]["metrics"]


def test_a_finished_run_with_a_derived_task_can_be_opened(
    desk: Any, with_length: None, cli: Any
) -> None:
    run = desk.train(desk.manifest(tasks={"long": {"use": "length", "options": {"of": "mood"}}}))
    said = cli("eval", run.folder, "--task", "long", "--split", "test")
    assert (said.code, "long" in said.out) == (0, True)


def test_the_base_of_a_derived_task_must_exist(desk: Any, with_length: None) -> None:
    tables = {
        "a": {"use": "length", "options": {"of": "moood"}},
        "b": {"use": "length", "options": {"of": "length"}},
    }
    with pytest.raises(EmomtlError) as caught:
        compose_file(desk.manifest(tasks=tables), [], Plugins.discover())
    said = [str(problem) for problem in caught.value.problems]
    assert len(said) == 2
    assert "tasks.a.options" in said[0]
    assert "moood" in said[0]
    assert "'length' is derived itself" in said[1]


def test_the_command_says_how_a_derived_task_is_used(with_length: None, cli: Any) -> None:
    assert "the rows of the task that `of` names" in " ".join(cli("tasks", "--json").out.split())
    said = cli("tasks", "length")
    assert said.code == 1
    assert 'use = "length"' in said.err


def test_check_task_reads_a_derived_task_over_a_sample(with_length: None) -> None:
    from emomtl.testing import check_task

    offered = Plugins.discover().offer("task", "length").value
    assert check_task(offered).labels == {"long": 1, "short": 1}


def test_a_derived_task_may_be_derived_again(desk: Any, with_length: None) -> None:
    tables = {
        "third": {"use": "length", "options": {"of": "second", "long": 20}},
        "first": {"use": "length", "options": {"of": "mood"}},
        "second": {"use": "length", "options": {"of": "first", "long": 25}},
    }
    plan = compose_file(desk.manifest(tasks=tables), [], Plugins.discover())
    assert list(plan.tasks) == ["mood", "topics", "third", "first", "second"]
    assert {plan.tasks[name].source for name in tables} == {"mood.csv"}
    texts = [{"text": "x" * n, "label": "joy"} for n in (19, 20, 24, 25, 30)]
    read = plan.tasks["third"].task.read
    assert [read(row).label for row in texts] == ["short", "long", "long", "long", "long"]


def test_tasks_that_are_made_of_one_another_are_one_problem(desk: Any, with_length: None) -> None:
    tables = {
        name: {"use": "length", "options": {"of": of}}
        for name, of in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"))
    }
    tables["e"] = {"use": "length", "options": {"of": "mood"}}
    with pytest.raises(EmomtlError) as caught:
        compose_file(desk.manifest(tasks=tables), [], Plugins.discover())
    (problem,) = caught.value.problems
    assert "made of one another" in problem.found
    assert problem.found.count("' of '") == 3
    assert problem.place.startswith("tasks.")


def test_a_faulty_base_is_reported_once(desk: Any, with_length: None) -> None:
    tables = {
        "a": {"use": "length", "options": {"of": "mood", "long": "far"}},
        "b": {"use": "length", "options": {"of": "a"}},
        "c": {"use": "length", "options": {"of": "b"}},
    }
    with pytest.raises(EmomtlError) as caught:
        compose_file(desk.manifest(tasks=tables), [], Plugins.discover())
    assert [problem.place for problem in caught.value.problems] == ["tasks.a.options.long"]
