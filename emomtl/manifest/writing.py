"""A manifest as TOML, complete: every key with its value, so that reading it back gives an equal object."""

from __future__ import annotations

from typing import Any

import tomli_w
from pydantic import BaseModel

from emomtl.errors import EmomtlError, Problem
from emomtl.manifest.faults import Parts, dotted, odd_values, without_secrets
from emomtl.manifest.models import Manifest
from emomtl.manifest.words import manifest_node

HEADER = "# A whole emomtl manifest: every key with its value, defaults included.\n\n"


def write_manifest(manifest: Manifest) -> str:
    """The TOML text of a manifest, in the order of the model; None, empty tables and `stages` and an empty `head.use`
    are left out.

    Raises `EmomtlError` for what TOML cannot say or a manifest cannot hold: NaN, infinity, secrets, a None that is no default.
    """
    problems: list[Problem] = []
    data = _table(manifest, (), problems)
    if not problems:
        problems = [fault.problem() for fault in [*odd_values(data, manifest_node()), *without_secrets(data)[1]]]
    if problems:
        raise EmomtlError(*problems)
    return HEADER + tomli_w.dumps(data)


def _table(model: BaseModel, parts: Parts, problems: list[Problem]) -> dict[str, Any]:
    """The keys of a table, those of open tables included: values first, as TOML wants them, then tables."""
    found: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        default = info.get_default(call_default_factory=True)
        no_stages = name == "stages" and not value  # a run has none; its manifest reads with an emomtl that knows none
        if value is not None and not (value in ("", {}) and value == default) and not no_stages:
            key = info.alias or name  # a key that Python allows no attribute to have, such as `from`
            found[key] = _value(value, (*parts, key), problems)
    for name, value in (model.model_extra or {}).items():
        found[name] = _value(value, (*parts, name), problems)
    return found


def _value(value: Any, parts: Parts, problems: list[Problem]) -> Any:
    if isinstance(value, BaseModel):
        return _table(value, parts, problems)
    if isinstance(value, dict):
        return {key: _value(item, (*parts, key), problems) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(item, (*parts, i), problems) for i, item in enumerate(value)]
    if value is None:
        problems.append(Problem(dotted(parts), "is None, and TOML has no word for it", "leave the key out"))
    elif isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        problems.append(Problem(dotted(parts), "is not text that UTF-8 can hold", "write it without lone surrogates"))
    return value
