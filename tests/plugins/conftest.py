"""What the tests of our plugins share: everything that is offered, and moments of a run of three
tasks.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import emomtl_plugins
from emomtl import Moment, TaskFacts

SIZES = {"goemotions": 43_410, "sst-2": 67_349, "emobank": 8_062}
FACTS = {
    "goemotions": TaskFacts(43_410, 28, "labels"),
    "sst-2": TaskFacts(67_349, 2, "labels"),
    "emobank": TaskFacts(8_062, 3, "numbers"),
}
REQUIRED = {
    "explicit": {"shares": {"goemotions": 3.0, "sst-2": 1.0, "emobank": 0.0}},
    "static": {"weights": {"sst-2": 0.25}},
}
"""The options without which an offer cannot be made."""


def modules() -> list[ModuleType]:
    """Every module of emomtl_plugins."""
    found = pkgutil.walk_packages(emomtl_plugins.__path__, "emomtl_plugins.")
    return [importlib.import_module(module.name) for module in found]


def offers(hook: str) -> dict[str, tuple[str, Any]]:
    """Names offered through a hook, each with its module's name and what is offered."""
    found: dict[str, tuple[str, Any]] = {}
    for module in modules():
        for name, offer in getattr(module, hook, dict)().items():
            assert name not in found, f"{name} is offered twice"
            found[name] = (module.__name__, offer)
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that ask for `sampler` or `weighting` run for each that is offered, with default
    options.
    """
    for argument in ("sampler", "weighting"):
        if argument in metafunc.fixturenames:
            found = offers(f"emomtl_{argument}s")
            made = [
                pytest.param(offer(**REQUIRED.get(name, {})), id=name)
                for name, (_, offer) in found.items()
            ]
            metafunc.parametrize(argument, made)


@pytest.fixture(scope="session")
def offered() -> Callable[[str], dict[str, tuple[str, Any]]]:
    """The function that gathers what is offered through a hook."""
    return offers


@pytest.fixture(scope="session")
def facts() -> dict[str, TaskFacts]:
    """Three tasks, one of each kind of head."""
    return FACTS


@pytest.fixture(scope="session")
def moment() -> Callable[..., Moment]:
    """A maker of moments of a run of ten epochs; keyword arguments replace the defaults."""

    def make(**changes: Any) -> Moment:
        defaults: dict[str, Any] = {
            "step": 0,
            "progress": 0.0,
            "epoch": 0,
            "epochs": 10,
            "sizes": SIZES,
            "seed": 17,
        }
        return Moment(**(defaults | changes))

    return make
