"""A manifest as complete TOML, which reads back as an equal object."""

from __future__ import annotations

from typing import Any

import tomli_w
from pydantic import BaseModel

from emomtl.errors import EmomtlError, Problem
from emomtl.manifest.faults import unusable_values
from emomtl.manifest.models import Manifest
from emomtl.manifest.places import Parts, dotted
from emomtl.manifest.wording import manifest_schema_node

HEADER = "# A whole emomtl manifest: every key with its value, defaults included.\n\n"


def write_manifest(manifest: Manifest) -> str:
    """The TOML text of a manifest, in the order of the model.

    None, empty tables, empty `stages` and an empty `head.use` are left out. Raises `EmomtlError`
    for what a manifest cannot hold: NaN, infinity, secrets, and a None inside of options.
    """
    problems: list[Problem] = []
    data = _table(manifest, (), problems)
    if not problems:
        problems = [fault.problem() for fault in unusable_values(data, manifest_schema_node())]
    if problems:
        raise EmomtlError(*problems)
    return HEADER + tomli_w.dumps(data)


def _table(model: BaseModel, parts: Parts, problems: list[Problem]) -> dict[str, Any]:
    """The keys of a table, then the options that are not fields of the model."""
    table: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        is_empty_default = value in ("", {}) and value == info.get_default(
            call_default_factory=True
        )
        # A run has no stages; without the key an emomtl that knows none reads its manifest.
        is_no_stages = name == "stages" and not value
        if value is not None and not is_empty_default and not is_no_stages:
            key = info.alias or name  # such as `from`, which is no name in Python
            table[key] = _value(value, (*parts, key), problems)
    for name, value in (model.model_extra or {}).items():
        table[name] = _value(value, (*parts, name), problems)
    return table


def _value(value: Any, parts: Parts, problems: list[Problem]) -> Any:
    if isinstance(value, BaseModel):
        return _table(value, parts, problems)
    if isinstance(value, dict):
        return {key: _value(item, (*parts, key), problems) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(item, (*parts, number), problems) for number, item in enumerate(value)]
    if value is None:
        found = "is None, and TOML has no word for it"
        problems.append(Problem(dotted(parts), found, "leave the key out"))
    elif isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        found = "is not text that UTF-8 can hold"
        problems.append(Problem(dotted(parts), found, "write it without lone surrogates"))
    return value
