"""Keys that are younger than a run change neither what it is nor how it resumes."""

from __future__ import annotations

from typing import Any

import pytest

from emomtl.manifest import differences, without_later_keys
from emomtl.manifest.later import LATER, came_later

PLACES = [
    (f"{table.replace('*', 'mood')}.{key}".removeprefix("."), before)
    for table, keys in LATER.items()
    for key, before in keys.items()
]


def content() -> dict[str, Any]:
    """A manifest's content with every younger key at what runs did before it."""
    task = {
        "use": "table",
        **LATER["tasks.*"],
        "head": {"use": "multi-label", **LATER["tasks.*.head"]},
        "options": {"text": "text", **LATER["tasks.*.options"]},
    }
    tables = {table: dict(keys) for table, keys in LATER.items() if table and "*" not in table}
    return {**LATER[""], **tables, "train": {"lr": 1e-3, **LATER["train"]}, "tasks": {"mood": task}}


OLD = {
    **{table: {} for table in LATER if table and "*" not in table},
    "train": {"lr": 1e-3},
    "tasks": {"mood": {"use": "table", "head": {"use": "multi-label"}, "options": {"text": "text"}}},
}


def test_a_run_without_the_younger_keys_differs_in_nothing() -> None:
    assert differences(OLD, content()) == []


@pytest.mark.parametrize(("place", "before"), PLACES)
def test_another_value_of_a_younger_key_is_a_difference(place: str, before: Any) -> None:
    assert came_later(place, before)
    assert not came_later(place, "something else")


def test_the_identity_is_that_of_a_run_without_the_younger_keys() -> None:
    new = content()
    without_later_keys(new)
    assert new == OLD


def test_options_of_other_families_stay_in_the_identity() -> None:
    new = content()
    new["tasks"]["mood"]["use"] = "demo"
    without_later_keys(new)
    assert new["tasks"]["mood"]["options"] == {"text": "text", **LATER["tasks.*.options"]}
