"""The JSON Schema of a manifest with the options of what is installed, for editors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from emomtl.manifest.models import Manifest
from emomtl.manifest.options import option_model

Schema = dict[str, Any]
Classes = Mapping[str, type]
"""Dataclasses by the name that `use` gives."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFINITIONS = {
    "sampler": "SamplerTable",
    "weighting": "Use",
    "head": "HeadTable",
    "change": "Use",
    "objective": "ObjectiveTable",
    "feature": "FeatureTable",
}
"""The model of the table that names each kind."""


def manifest_schema(offers: Mapping[str, Classes] | None = None) -> Schema:
    """JSON Schema (draft 2020-12) of `Manifest`.

    `offers` has dataclasses by kind ("sampler", "weighting", "head", "change", "objective",
    "feature", "task") and name; each becomes a branch with its options. Other names stay allowed
    with any options, as a manifest may name what is not installed here.
    """
    schema = _tidy(Manifest.model_json_schema())
    schema = {"$schema": DIALECT, **schema, "title": "emomtl manifest"}
    classes = {kind: offers.get(kind, {}) for kind in (*DEFINITIONS, "task")} if offers else {}
    if not classes:
        return schema
    properties, definitions = schema["properties"], schema["$defs"]
    for key in ("sampler", "weighting"):
        _replace(properties, key, _branches(schema, key, classes[key]))
    head = _branches(schema, "head", classes["head"])
    head["oneOf"].append(_without_use("the declared head"))
    _replace(definitions["TaskTable"]["properties"], "head", head)
    changes = definitions["EncoderTable"]["properties"]["changes"]
    changes["items"] = _branches(schema, "change", classes["change"])
    _replace(definitions, "ObjectiveTable", _branches(schema, "objective", classes["objective"]))
    feature = _branches(schema, "feature", classes["feature"])
    # A schema does not see a table's own name, which is the feature if there is no `use`.
    feature["oneOf"].append(_without_use("named by its table"))
    _replace(definitions, "FeatureTable", feature)
    definitions["TaskTable"] = _task_branches(schema, classes["task"])
    return schema


def _replace(parent: Schema, key: str, node: Schema) -> None:
    """Put a node in the place of another; the description stays."""
    description = parent[key].get("description")
    parent[key] = {**node, "description": description} if description else node


def _branches(schema: Schema, kind: str, classes: Classes) -> Schema:
    """One closed branch for each name, and an open one for every other."""
    definition = schema["$defs"][DEFINITIONS[kind]]
    use = definition["properties"]["use"]
    beside = {key: node for key, node in definition["properties"].items() if key != "use"}
    required = [key for key in definition.get("required", ()) if key != "use"]
    branches = []
    for name, cls in sorted(classes.items()):
        branch = _options(schema, f"{kind}.{name}", cls)
        constant = {"use": {"const": name, "type": "string"}}
        branch["properties"] = {**constant, **beside, **branch.get("properties", {})}
        needs_use = [] if use.get("default") == name else ["use"]
        branch["required"] = [*needs_use, *required, *branch.get("required", [])]
        branches.append({**branch, "title": name})
    other = {"type": "object", "properties": beside, "additionalProperties": True}
    other["required"] = ["use", *required]
    branches.append(_other(list(classes), other))
    return {"type": "object", "oneOf": branches}


def _without_use(title: str) -> Schema:
    """An open table that has no `use`."""
    return {
        "title": title,
        "type": "object",
        "properties": {"use": False},
        "additionalProperties": True,
    }


def _task_branches(schema: Schema, families: Classes) -> Schema:
    """The table of a task: one branch for each family that `use` can name, with its options."""
    table = schema["$defs"]["TaskTable"]
    branches = []
    for name, cls in sorted(families.items()):
        branch = copy.deepcopy(table)
        options = _options(schema, f"task.{name}", cls)
        branch["properties"]["use"] = {**table["properties"]["use"], "const": name}
        branch["properties"]["options"] = options
        branch["required"] = ["use", "options"] if options.get("required") else ["use"]
        branches.append({**branch, "title": name})
    branches.append(_other(list(families), copy.deepcopy(table)))
    description = table.get("description", "")
    return {"title": "TaskTable", "type": "object", "description": description, "oneOf": branches}


def _other(names: list[str], table: Schema) -> Schema:
    """A table whose `use` is none of the names."""
    use = {"type": "string", "not": {"enum": sorted(names)}}
    properties = {**table.get("properties", {}), "use": use}
    return {**table, "title": "another", "properties": properties}


def _options(schema: Schema, prefix: str, cls: type) -> Schema:
    """The schema of a dataclass's options; its definitions go to the root, under a prefix."""
    template = f"#/$defs/{prefix}.{{model}}"
    options: Schema = _tidy(option_model(cls).model_json_schema(ref_template=template))
    for name, node in options.pop("$defs", {}).items():
        schema["$defs"][f"{prefix}.{name}"] = node
    return options


def _tidy(node: Any) -> Any:
    """A schema without null, which TOML does not have, and with descriptions of one line."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {}
    for key, value in node.items():
        if key == "description" and isinstance(value, str):
            tidy[key] = " ".join(value.split())
        elif key != "default" or value is not None:
            tidy[key] = _tidy(value)
    choices = tidy.get("anyOf")
    if isinstance(choices, list):
        choices = [choice for choice in choices if choice != {"type": "null"}]
        tidy["anyOf"] = choices
        if len(choices) == 1:
            del tidy["anyOf"]
            tidy = {**choices[0], **tidy}
    return tidy
