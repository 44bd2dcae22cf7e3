"""Everything that any installed plugin offers passes the checks that strangers are given; no name
of a plugin is known here.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Ge

from emomtl import DerivedTask, Grouping, Task, TaskFamily, Taxonomy
from emomtl.compose import compose_file
from emomtl.errors import EmomtlError, Problem
from emomtl.plugins.discovery import Plugins
from emomtl.plugins.offers import KINDS
from emomtl.study import StudyRequest, plan_study, read_study
from emomtl.testing import (
    check_change,
    check_feature,
    check_head,
    check_objective,
    check_sampler,
    check_task,
    check_weighting,
)

ORDERED = {"round-robin"}
"""Samplers that go by the manifest's order, and say so."""

SIZES = {"emotions": 43_410, "mood": 800, "arousal": 8_062}
TAXONOMY = Taxonomy(
    ["joy", "love", "fear", "anger"],
    [Grouping("tone", {"pleasant": ("joy", "love"), "unpleasant": ("fear", "anger")})],
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `task`, `sampler`, ... runs for each that is offered."""
    plugins = Plugins.discover()
    for kind in KINDS:
        if kind in metafunc.fixturenames:
            metafunc.parametrize(
                kind,
                [
                    pytest.param((name, offer.value), id=name)
                    for name, offer in plugins.offers(kind).items()
                ],
            )


def _made(cls: type) -> tuple[Any, bool]:
    """An object of the class with default options, and whether it has numbers by task; those
    without a default are made up.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    needed = [
        f
        for f in dataclasses.fields(cls)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    by_task = [field.name for field in needed if typing.get_origin(hints[field.name]) is Mapping]
    numbers = [field.name for field in needed if hints[field.name] == Annotated[int, Ge(1)]]
    assert len(by_task) + len(numbers) == len(needed)
    options = {
        name: {task: 0.5 + i for i, task in enumerate(SIZES)} for name in by_task
    } | dict.fromkeys(numbers, 1)
    return cls(**options), bool(by_task)


def test_every_installed_plugin_imports_and_offers_something() -> None:
    plugins = Plugins.discover()
    offered = {name for kind in KINDS for name in plugins.offers(kind)}
    assert plugins.broken == {}
    assert len(offered) > 20


def test_a_task_reads_what_it_brings_along(task: tuple[str, Any]) -> None:
    name, value = task
    report = check_task(value)
    assert name == value.name
    assert report.dropped == report.unlabelled == 0
    assert isinstance(value, Task) or issubclass(value, TaskFamily | DerivedTask)


def test_a_sampler_gives_probabilities_at_every_moment(
    sampler: tuple[str, Any], complaint: Any
) -> None:
    name, cls = sampler
    made, by_task = _made(cls)
    assert complaint(check_sampler, made, SIZES if by_task else None, ordered=name in ORDERED) == ""


def test_a_sampler_that_goes_by_order_is_found_out(
    sampler: tuple[str, Any], found: Any, complaint: Any
) -> None:
    name, cls = sampler
    made, by_task = _made(cls)
    if name in ORDERED:
        assert "the order of the tasks changes the numbers" in found(check_sampler, made)
    else:
        assert complaint(check_sampler, made, SIZES if by_task else None) == ""


def test_a_weighting_makes_gradients_and_can_be_resumed(
    weighting: tuple[str, Any], complaint: Any
) -> None:
    assert complaint(check_weighting, _made(weighting[1])[0]) == ""


def test_a_head_has_a_loss_probabilities_and_metrics(head: tuple[str, Any], complaint: Any) -> None:
    made = head[1]()
    without = complaint(made.check, TAXONOMY) != ""
    assert complaint(check_head, made, None if without else TAXONOMY) == ""
    assert made.kind == head[0]


def test_every_change_passes_its_check(change: tuple[str, Any], complaint: Any) -> None:
    assert complaint(check_change, _made(change[1])[0]) == ""


def test_every_objective_passes_its_check(objective: tuple[str, Any], complaint: Any) -> None:
    assert complaint(check_objective, _made(objective[1])[0]) == ""


def test_a_feature_gives_every_text_its_own_numbers(
    feature: tuple[str, Any], complaint: Any
) -> None:
    assert complaint(check_feature, feature[1]()) == ""


def test_an_encoder_says_what_it_is(encoder: tuple[str, Any]) -> None:
    assert encoder[1].about
    assert encoder[1].hub or encoder[1].package


def test_a_manifest_names_only_what_is_installed(manifest: tuple[str, Path]) -> None:
    """Rows and encoders may be elsewhere; names and options must be right."""
    problems: tuple[Problem, ...] = ()
    try:
        assert compose_file(manifest[1], [], Plugins.discover()).tasks
    except EmomtlError as error:
        problems = error.problems
    elsewhere = re.compile(r"|encoder\.use|tasks\.[^.]+(\.source)?")
    assert [str(p) for p in problems if not elsewhere.fullmatch(p.place)] == []


def test_a_study_names_rows_that_compose(study: tuple[str, Path], tmp_path: Path) -> None:
    """Rows and encoders may be elsewhere; names, options and the study's own keys must be right."""
    file = read_study(study[1])
    problems: tuple[Problem, ...] = ()
    try:
        assert plan_study(
            StudyRequest(file, tmp_path / "out", tmp_path / "runs", Plugins.discover())
        ).runs
    except EmomtlError as error:
        problems = error.problems
    assert [
        str(p)
        for p in problems
        if p.place not in {"encoder.use", ""} and not p.place.startswith("tasks.")
    ] == []
    assert (tmp_path / "runs").exists() is False
