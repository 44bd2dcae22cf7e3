"""The JSON Schema of a manifest, with the options of what is installed, so that an editor completes and checks it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from emomtl.manifest.models import Manifest
from emomtl.manifest.options import option_model

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFINITIONS = {
    "sampler": "SamplerTable",
    "weighting": "Use",
    "head": "HeadTable",
    "change": "Use",
    "objective": "ObjectiveTable",
    "feature": "FeatureTable",
}
"""The table of the manifest that names each kind, by its name in the schema."""

TABLES = {"sampler": "sampler", "weighting": "weighting"}
"""The kinds of offers that have a table of their own; a head is in [tasks.NAME.head], a task family's options in [tasks.NAME],
changes in [[encoder.changes]]."""


def manifest_schema(offers: Mapping[str, Mapping[str, type]] | None = None) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `Manifest`.

    `offers` names dataclasses by kind ("sampler", "weighting", "head", "change", "objective", "feature", "task") and then by the
    name that `use` gives; each becomes a branch with its options. Other names stay allowed with any options, as a manifest
    may name what is not here.
    """
    schema = _tidy(Manifest.model_json_schema())
    schema = {"$schema": DIALECT, **schema, "title": "emomtl manifest"}
    kinds = offers or {}
    for kind, table in TABLES.items():
        if kinds.get(kind):
            about = schema["properties"][table].get("description")
            schema["properties"][table] = _branches(schema, kind, kinds[kind]) | ({"description": about} if about else {})
    if kinds.get("head"):
        head = _branches(schema, "head", kinds["head"])
        declared = {"title": "the declared head", "type": "object", "properties": {"use": False}, "additionalProperties": True}
        head["oneOf"].append(declared)
        keys = schema["$defs"]["TaskTable"]["properties"]
        keys["head"] = {**head, "description": keys["head"].get("description", "")}
    if kinds.get("change"):
        schema["$defs"]["EncoderTable"]["properties"]["changes"]["items"] = _branches(schema, "change", kinds["change"])
    if kinds.get("objective"):
        schema["$defs"]["ObjectiveTable"] = _branches(schema, "objective", kinds["objective"])
    if kinds.get("feature"):
        schema["$defs"]["FeatureTable"] = _named_tables(schema, "feature", kinds["feature"])
    if kinds.get("task"):
        schema["$defs"]["TaskTable"] = _families(schema, kinds["task"])
    return schema


def _branches(schema: dict[str, Any], kind: str, offers: Mapping[str, type]) -> dict[str, Any]:
    """One closed branch for each name, and an open one for every other."""
    own = schema["$defs"][DEFINITIONS[kind]]["properties"]
    beside = {key: node for key, node in own.items() if key != "use"}
    needed = [key for key in schema["$defs"][DEFINITIONS[kind]].get("required", ()) if key != "use"]
    branches = []
    for name, cls in sorted(offers.items()):
        options = _options(schema, f"{kind}.{name}", cls)
        options["properties"] = {"use": {"const": name, "type": "string"}, **beside, **options.get("properties", {})}
        options["required"] = [*([] if own["use"].get("default") == name else ["use"]), *needed, *options.get("required", [])]
        branches.append({**options, "title": name})
    other = {"type": "object", "properties": beside, "required": ["use", *needed], "additionalProperties": True}
    branches.append(_other(sorted(offers), other))
    return {"type": "object", "oneOf": branches}


def _named_tables(schema: dict[str, Any], kind: str, offers: Mapping[str, type]) -> dict[str, Any]:
    """Tables whose own name is what is used where they have no `use`: a table without it is open, as its name is not in it."""
    found = _branches(schema, kind, offers)
    nameless = {"title": "named by its table", "type": "object", "properties": {"use": False}, "additionalProperties": True}
    return {**found, "oneOf": [*found["oneOf"], nameless], "description": schema["$defs"][DEFINITIONS[kind]]["description"]}


def _families(schema: dict[str, Any], offers: Mapping[str, type]) -> dict[str, Any]:
    """The table of a task, one branch for each family that `use` can name, with its options."""
    table = schema["$defs"]["TaskTable"]
    branches = []
    for name, cls in sorted(offers.items()):
        branch = copy.deepcopy(table)
        branch["properties"]["use"] = {**table["properties"]["use"], "const": name}
        branch["properties"]["options"] = _options(schema, f"task.{name}", cls)
        needed = ["options"] if branch["properties"]["options"].get("required") else []
        branches.append({**branch, "title": name, "required": ["use", *needed]})
    branches.append(_other(sorted(offers), copy.deepcopy(table)))
    about = table.get("description", "")
    return {"type": "object", "title": "TaskTable", "description": about, "oneOf": branches}


def _other(names: list[str], table: dict[str, Any]) -> dict[str, Any]:
    """A table whose `use` is none of the names."""
    properties = {**table.get("properties", {}), "use": {"type": "string", "not": {"enum": names}}}
    return {**table, "title": "another", "properties": properties}


def _options(schema: dict[str, Any], prefix: str, cls: type) -> dict[str, Any]:
    """The schema of a dataclass's options; the definitions that it refers to go to the root, under a prefix."""
    own: dict[str, Any] = _tidy(option_model(cls).model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}"))
    for name, node in own.pop("$defs", {}).items():
        schema["$defs"][f"{prefix}.{name}"] = node
    return own


def _tidy(node: Any) -> Any:
    """Without the nulls of optional values, which TOML cannot say, and with defaults only where they are values."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _tidy(item) for key, item in node.items() if not (key == "default" and item is None)}
    choices = found.get("anyOf")
    if isinstance(choices, list):
        left = [choice for choice in choices if choice != {"type": "null"}]
        del found["anyOf"]
        found = {**left[0], **found} if len(left) == 1 else {**found, "anyOf": left}
    return found
