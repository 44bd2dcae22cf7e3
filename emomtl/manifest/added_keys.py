"""Keys that were added to the manifest, each with what a run did before the key existed.

A run writes every key, so a key that its manifest lacks did not exist then. Whoever adds a key adds
it here. Then an older run is opened with what it did, `--resume` sees no change in it, and studies
find it under the same identity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emomtl.manifest.models import Manifest

ADDED_KEYS: Mapping[str, Mapping[str, Any]] = {
    "": {"stages": []},
    "train": {
        "on_out_of_memory": "stop",
        "unpadded": "auto",
        "loss_scale": "mean",
        "clip_by": "all",
        "ema": None,
    },
    "eval": {"weights": None},
    "start": {"weights": None},
    "data": {"unseen_labels": "refuse"},
    "encoder": {"checkpoint_layers": False},
    "tasks.*": {
        "label_noise": 0.0,
        "label_noise_from": None,
        "learned_labels": None,
        "patience": 0,
        "max_tokens": None,
        "balance": None,
        "balance_below": None,
    },
    "tasks.*.head": {
        "ordinal": False,
        "soft": False,
        "criterion": "cross-entropy",
        "label_smoothing": 0.0,
    },
    "tasks.*.options": {"label_names": {}, "missing": [], "fold_case": False},
}
"""By table: "" is the manifest itself, `*` any name. Options are those of the family `table`."""


def with_old_values(manifest: Manifest) -> Manifest:
    """The manifest of a run, in which keys of `[train]` that it lacks have their old values.

    The old values of other keys are their defaults.
    """
    written = manifest.train.model_fields_set
    missing = {key: value for key, value in ADDED_KEYS["train"].items() if key not in written}
    if not missing:
        return manifest
    return manifest.model_copy(update={"train": manifest.train.model_copy(update=missing)})


def is_old_value(place: str, value: Any) -> bool:
    """Whether a key that an older run lacks has the value of what that run did."""
    *table, key = place.split(".")
    if table[:1] == ["tasks"] and len(table) > 1:
        table[1] = "*"
    added = ADDED_KEYS.get(".".join(table), {})
    if key in added:
        return bool(added[key] == value)
    # An option of a head that is left out changes nothing, whichever it is.
    return table[-1:] == ["head"] and value is None


def remove_old_values(content: dict[str, Any]) -> None:
    """Remove added keys that have their old values from a manifest's content."""
    for place, added in ADDED_KEYS.items():
        for table in _tables(content, place):
            for key, value in added.items():
                if key in table and table[key] == value:
                    del table[key]


def _tables(content: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
    """The tables of a manifest that stand at a place of `ADDED_KEYS`."""
    if not place:
        yield content
    elif not place.startswith("tasks"):
        if content.get(place) is not None:
            yield content[place]
    else:
        for task in content["tasks"].values():
            if place == "tasks.*":
                yield task
            elif place == "tasks.*.head" and task.get("head") is not None:
                yield task["head"]
            elif place == "tasks.*.options" and task["use"] == "table":
                yield task["options"]


def differences(before: Any, after: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    """Dotted places at which two manifests differ, with both values; None where one lacks the key.

    An added key that has its old value is no difference.
    """
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        is_same = before == after or (before is None and is_old_value(place, after))
        return [] if is_same else [(place, before, after)]
    found = []
    for key in dict.fromkeys([*before, *after]):
        inner = f"{place}.{key}" if place else str(key)
        found += differences(before.get(key), after.get(key), inner)
    return found
