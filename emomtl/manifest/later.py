"""Keys of the manifest that are younger than some runs, each with what a run did before it existed.

A run writes every key, so one that its manifest lacks did not exist then. Whoever adds a key adds it
here, and three things follow: an older run is read as it was run, `--resume` sees no change in it, and
the identity by which studies know it stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emomtl.manifest.models import Manifest

LATER: Mapping[str, Mapping[str, Any]] = {
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
"""By table, where "" is the manifest itself and `*` is any name. Options are those of the family `table`."""


def as_it_was_run(manifest: Manifest) -> Manifest:
    """The complete manifest of a run, in which keys younger than the run say what it did."""
    given = manifest.train.model_fields_set
    missing = {key: value for key, value in LATER["train"].items() if key not in given}
    if not missing:
        return manifest
    return manifest.model_copy(update={"train": manifest.train.model_copy(update=missing)})


def came_later(place: str, value: Any) -> bool:
    """Whether the key at a dotted place, which an older run lacks, has the value of what that run did."""
    parts = place.split(".")
    if parts[0] == "tasks" and len(parts) > 2:
        parts[1] = "*"
    keys = LATER.get(".".join(parts[:-1]), {})
    if parts[-1] in keys:
        return bool(keys[parts[-1]] == value)
    # a head's option that is left unset changes nothing, whichever it is
    return parts[-2:-1] == ["head"] and value is None


def without_later_keys(content: dict[str, Any]) -> None:
    """Take out of a manifest's content the younger keys that have the value of what runs did before."""
    for place, keys in LATER.items():
        for table in _tables(content, place):
            for key, before in keys.items():
                if key in table and table[key] == before:
                    del table[key]


def _tables(content: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
    """The tables that stand at a place of `LATER`."""
    first, *rest = place.split(".")
    if not first:
        yield content
        return
    if first != "tasks":
        if content.get(first) is not None:
            yield content[first]
        return
    for task in content["tasks"].values():
        if rest == ["*"]:
            yield task
        elif rest == ["*", "head"] and task.get("head") is not None:
            yield task["head"]
        elif rest == ["*", "options"] and task["use"] == "table":
            yield task["options"]
