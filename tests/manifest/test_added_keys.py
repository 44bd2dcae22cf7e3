"""Keys that are younger than a run change neither what it is nor how it resumes."""

from __future__ import annotations

from typing import Any

import pytest

from emomtl.manifest import differences, remove_old_values
from emomtl.manifest.added_keys import ADDED_KEYS, is_old_value

PLACES = [
    (f"{table.replace('*', 'mood')}.{key}".removeprefix("."), before)
    for table, keys in ADDED_KEYS.items()
    for key, before in keys.items()
]


def content() -> dict[str, Any]:
    """A manifest's content with every younger key at what runs did before it."""
    task = {
        "use": "table",
        **ADDED_KEYS["tasks.*"],
        "head": {"use": "multi-label", **ADDED_KEYS["tasks.*.head"]},
        "options": {"text": "text", **ADDED_KEYS["tasks.*.options"]},
    }
    tables = {table: dict(keys) for table, keys in ADDED_KEYS.items() if table and "*" not in table}
    return {
        **ADDED_KEYS[""],
        **tables,
        "train": {"lr": 1e-3, **ADDED_KEYS["train"]},
        "tasks": {"mood": task},
    }


OLD = {
    **{table: {} for table in ADDED_KEYS if table and "*" not in table},
    "train": {"lr": 1e-3},
    "tasks": {
        "mood": {"use": "table", "head": {"use": "multi-label"}, "options": {"text": "text"}}
    },
}


def test_a_run_without_the_younger_keys_differs_in_nothing() -> None:
    assert differences(OLD, content()) == []


@pytest.mark.parametrize(("place", "before"), PLACES)
def test_another_value_of_a_younger_key_is_a_difference(place: str, before: Any) -> None:
    assert is_old_value(place, before)
    assert not is_old_value(place, "something else")


def test_added_keys_do_not_change_the_identity() -> None:
    new = content()
    remove_old_values(new)
    assert new == OLD


def test_options_of_other_families_stay_in_the_identity() -> None:
    new = content()
    new["tasks"]["mood"]["use"] = "demo"
    remove_old_values(new)
    assert new["tasks"]["mood"]["options"] == {"text": "text", **ADDED_KEYS["tasks.*.options"]}
