"""`check_sampler` passes what is right, and says everything that is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from emomtl import EmomtlError, Moment, Sampler
from emomtl.testing import check_sampler


@dataclass(frozen=True)
class Even(Sampler):
    """All alike."""

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """One over the number of tasks."""
        return {task: 1 / len(moment.tasks) for task in moment.tasks}


def _sampler(rule: Callable[[Moment], Any]) -> Sampler:
    @dataclass(frozen=True)
    class Made(Sampler):
        def probabilities(self, moment: Moment) -> Mapping[str, float]:
            return rule(moment)

    return Made()


def _first(moment: Moment) -> dict[str, float]:
    return {task: float(i == 0) for i, task in enumerate(moment.tasks)}


def test_a_good_sampler_passes(complaint: Any) -> None:
    assert complaint(check_sampler, Even()) == ""


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda moment: dict.fromkeys(moment.tasks, 0.7), "sums to 0.7 (divide by the sum)"),
        (
            lambda moment: {"only": 1.0},
            "names ['only'] (give a number for each of ['large', 'small'])",
        ),
        (lambda moment: {**Even().probabilities(moment), "other": 0.0}, "names ['only', 'other']"),
        (
            lambda moment: {t: float("nan") for t in moment.tasks},
            "gives {'only': nan} (probabilities are finite and >= 0)",
        ),
        (lambda moment: {"large": 1.5, "small": -0.5}, "gives {'small': -0.5}"),
        (
            lambda moment: 1 / moment.progress,
            "probabilities (1 task(s), step 0, progress 0.0, joint False) raised ZeroDivisionError",
        ),
        (lambda moment: moment.losses["only"], "raised KeyError"),
        (_first, "the order of the tasks changes the numbers"),
    ],
)
def test_a_broken_sampler_is_found(rule: Any, message: str, found: Any) -> None:
    assert message in found(check_sampler, _sampler(rule))


def test_a_sampler_that_draws_is_found(found: Any) -> None:
    count = itertools.count(1)

    def drifting(moment: Moment) -> dict[str, float]:
        if len(moment.tasks) != 2:
            return Even().probabilities(moment)
        share = 1 / (1 + next(count))
        return {"large": share, "small": 1 - share}

    assert "the same moment gives other numbers when it is asked again" in found(
        check_sampler, _sampler(drifting)
    )


def test_the_manifests_order_may_matter_where_that_is_said(complaint: Any) -> None:
    assert complaint(check_sampler, _sampler(_first), ordered=True) == ""


def test_a_sampler_that_names_tasks_is_checked_with_theirs(found: Any, complaint: Any) -> None:
    @dataclass(frozen=True)
    class Only(Sampler):
        task: str = "mine"

        def check(self, sizes: Mapping[str, int]) -> None:
            if self.task not in sizes:
                raise EmomtlError(f"no task '{self.task}'", place="sampler.task")

        def probabilities(self, moment: Moment) -> dict[str, float]:
            return {task: float(task == self.task) for task in moment.tasks}

    assert complaint(check_sampler, Only(), {"mine": 5, "yours": 7}) == ""
    assert "no task 'mine'" in found(check_sampler, Only())


def test_a_sampler_that_is_no_dataclass_is_found(found: Any) -> None:
    class Plain(Even.__base__):
        probabilities = Even.probabilities

    assert "Plain is no dataclass (put @dataclass(frozen=True) above it)" in found(
        check_sampler, Plain()
    )


def test_an_option_that_toml_cannot_say_is_found(found: Any) -> None:
    @dataclass(frozen=True)
    class Odd(Even):
        rule: complex = 1j

    assert "sampler Odd" in found(check_sampler, Odd())
