"""What a value must be and which key was meant, in words, from a JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from emomtl.errors import clean, closest, suggest
from emomtl.manifest.models import NAME, TASK_NAME, Manifest

Node = Mapping[str, Any]
"""A JSON Schema, or a part of one."""

PATTERNS = {
    NAME: "a name of letters, digits and _ . + -, a letter or digit first",
    TASK_NAME: "a name of letters, digits, - and _, a letter or digit first",
}

BOUNDS = {
    "minimum": "of at least",
    "exclusiveMinimum": "greater than",
    "maximum": "of at most",
    "exclusiveMaximum": "less than",
}

OTHER_NAMES = {
    "lr": "learning_rate base_lr",
    "epochs": "epoch n_epochs num_epochs num_train_epochs max_epochs",
    "batch_size": "batch bs train_batch_size per_device_train_batch_size eval_batch_size",
    "max_tokens": "max_len max_length max_seq_length seq_len",
    "use": "model model_name name_or_path kind type name",
    "clip": "grad_clip max_grad_norm gradient_clip",
    "warmup": "warmup_ratio warmup_steps",
    "accumulate": "grad_accum accumulation gradient_accumulation_steps",
    "steps": "max_steps total_steps",
    "schedule": "scheduler lr_scheduler lr_schedule",
    "seed": "random_seed",
    "patience": "early_stopping",
    "device": "gpu",
    "precision": "dtype fp16 bf16",
    "eps": "epsilon adam_epsilon",
    "weight_decay": "wd decay",
    "tasks": "task",
    "eval": "evaluation validation evaluate",
    "train": "training",
    "encoder": "backbone",
    "source": "path file dataset",
    "weight": "loss_weight lambda",
    "limit": "max_examples",
    "log_every": "logging_steps",
    "every": "eval_steps eval_every save_steps",
    "devices": "num_devices n_gpus",
    "name": "run_name",
    "plugins": "plugin",
    "sampler": "sampling",
    "checkpoint": "checkpoints",
}
"""Names that other trainers give to our keys."""

SYNONYMS = {name: key for key, names in OTHER_NAMES.items() for name in names.split()}

IN_MANY_TABLES = ("use", "source", "weight")
"""Keys that do not tell which table was meant."""


@cache
def manifest_schema_node() -> Node:
    """The JSON Schema of the manifest, as pydantic makes it."""
    return Manifest.model_json_schema()


def resolve(schema: Node, node: Node) -> Node:
    """The node with `$ref` followed, and without the null of an optional value."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    choices = _choices(node)
    return resolve(schema, choices[0]) if len(choices) == 1 else node


def _choices(node: Node) -> list[Node]:
    """The branches of a union, without null."""
    branches = node.get("anyOf") or node.get("oneOf") or ()
    return [branch for branch in branches if branch.get("type") != "null"]


def node_at(schema: Node, parts: Sequence[str | int]) -> Node:
    """The schema of the value at a place; an empty one for a place that it does not know."""
    node = resolve(schema, schema)
    for part in parts:
        node = _child(schema, node, part)
    return node


def _child(schema: Node, node: Node, part: str | int) -> Node:
    """The schema of a table's key or a list's item."""
    for choice in node.get("anyOf", (node,)):
        child = _child_of_choice(resolve(schema, choice), part)
        if child:
            return resolve(schema, child)
    return {}


def _child_of_choice(node: Node, part: str | int) -> Node:
    if isinstance(part, int):
        items = node.get("prefixItems", ())
        child = items[part] if 0 <= part < len(items) else node.get("items")
    else:
        patterns = list(node.get("patternProperties", {}).values())
        others = patterns[0] if patterns else node.get("additionalProperties")
        child = node.get("properties", {}).get(part) or others
    return child if isinstance(child, Mapping) else {}


def expected(schema: Node, node: Node) -> str:
    """What a value must be, such as `a whole number greater than 0` or `one of 'one', 'all'`."""
    node = resolve(schema, node)
    if "enum" in node or "const" in node:
        values = [_literal(value) for value in node.get("enum", [node.get("const")])]
        return f"one of {', '.join(values)}" if len(values) > 1 else values[0]
    choices = _choices(node)
    if choices:
        return " or ".join(dict.fromkeys(expected(schema, choice) for choice in choices))
    kind = node.get("type")
    if kind == "integer":
        return f"a whole number {_range(node)}".rstrip()
    if kind == "number":
        return f"a number {_range(node)}".rstrip()
    if kind == "string":
        return _text(node)
    if kind == "array":
        return _list(schema, node)
    if kind == "object":
        return _table(schema, node)
    return "true or false" if kind == "boolean" else "another value"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def _range(node: Node) -> str:
    if "minimum" in node and "maximum" in node:
        return f"from {node['minimum']} to {node['maximum']}"
    return " and ".join(f"{words} {node[key]:.15g}" for key, words in BOUNDS.items() if key in node)


def _text(node: Node) -> str:
    words = "text"
    if node.get("format") in ("path", "file-path", "directory-path"):
        words = "a path"
    if "pattern" in node:
        words = PATTERNS.get(node["pattern"], f"text that matches {node['pattern']}")
    if node.get("minLength"):
        words += " that is not empty"
    return words + (f", at most {node['maxLength']} characters" if "maxLength" in node else "")


def _list(schema: Node, node: Node) -> str:
    items = [expected(schema, item) for item in node.get("prefixItems", ())]
    if items:
        same = len(set(items)) == 1
        each = f"each {items[0]}" if same else f"first {', then '.join(items)}"
        return f"a list of {len(items)}: {each}"
    words = f"a list of at least {node['minItems']}" if node.get("minItems") else "a list"
    return f"{words}, each {expected(schema, node['items'])}" if node.get("items") else words


def _table(schema: Node, node: Node) -> str:
    required = " and ".join(f"`{key}`" for key in node.get("required", ()))
    values = node.get("additionalProperties")
    if required:
        return f"a table with {required}"
    if isinstance(values, Mapping) and values:
        return f"a table whose values are each {expected(schema, values)}"
    return "a table"


def key_remedy(key: str, node: Node) -> str:
    """The remedy of an unknown key of a table: `did you mean 'lr'?`, another table, or the keys."""
    known = sorted(node.get("properties", {}))
    synonym = SYNONYMS.get(key.lower().replace("-", "_"), "")
    if synonym in known:
        return f"did you mean '{synonym}'?"
    for name in (key, synonym):
        tables = _tables_with(name)
        if tables:
            words = f"'{name}' belongs under {' or '.join(f'[{table}]' for table in tables)}"
            is_near = closest(clean(key), known) is not None
            return f"{suggest(clean(key), known)} {words}" if is_near else words
    return suggest(clean(key), known) if known else "it takes no keys"


def _tables_with(key: str) -> list[str]:
    """The tables of the manifest that have a key."""
    if not key or key in IN_MANY_TABLES:
        return []
    root = manifest_schema_node()
    tables = []
    for table in root["properties"]:
        if key in node_at(root, [table]).get("properties", {}):
            tables.append(table)
    return tables
