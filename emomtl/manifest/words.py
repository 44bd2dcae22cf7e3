"""From a JSON Schema to words: what a key wants, and which key somebody probably meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from emomtl.errors import clean, closest, suggest
from emomtl.manifest.models import NAME, TASK_NAME, Manifest

Node = Mapping[str, Any]

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

SYNONYMS = {
    "learning_rate": "lr", "base_lr": "lr", "epoch": "epochs", "n_epochs": "epochs", "num_epochs": "epochs",
    "num_train_epochs": "epochs", "max_epochs": "epochs", "batch": "batch_size", "bs": "batch_size",
    "train_batch_size": "batch_size", "per_device_train_batch_size": "batch_size", "eval_batch_size": "batch_size",
    "max_len": "max_tokens", "max_length": "max_tokens", "max_seq_length": "max_tokens", "seq_len": "max_tokens",
    "model": "use", "model_name": "use", "name_or_path": "use", "kind": "use", "type": "use", "name": "use",
    "grad_clip": "clip", "max_grad_norm": "clip", "gradient_clip": "clip", "warmup_ratio": "warmup",
    "grad_accum": "accumulate", "accumulation": "accumulate", "gradient_accumulation_steps": "accumulate",
    "max_steps": "steps", "total_steps": "steps", "scheduler": "schedule", "lr_scheduler": "schedule", "lr_schedule": "schedule",
    "random_seed": "seed", "early_stopping": "patience", "gpu": "device", "dtype": "precision", "fp16": "precision",
    "bf16": "precision", "epsilon": "eps", "adam_epsilon": "eps", "wd": "weight_decay", "decay": "weight_decay",
    "task": "tasks", "evaluation": "eval", "validation": "eval", "evaluate": "eval", "training": "train",
    "backbone": "encoder", "path": "source", "file": "source", "dataset": "source", "loss_weight": "weight", "lambda": "weight",
    "max_examples": "limit", "logging_steps": "log_every", "eval_steps": "every", "eval_every": "every", "save_steps": "every",
    "num_devices": "devices", "n_gpus": "devices", "run_name": "name", "plugin": "plugins", "sampling": "sampler",
    "checkpoints": "checkpoint", "warmup_steps": "warmup",
}  # fmt: skip
"""Names that other trainers give to what is meant here."""


@cache
def manifest_node() -> Node:
    """The JSON Schema of the manifest, as pydantic makes it."""
    return Manifest.model_json_schema()


def resolve(schema: Node, node: Node) -> Node:
    """The node itself, with `$ref` followed and the null of an optional value left out."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
    return resolve(schema, choices[0]) if len(choices) == 1 else node


def node_at(schema: Node, parts: Sequence[str | int]) -> Node:
    """The schema of the value at a place; an empty one where nothing is known of it."""
    node = resolve(schema, schema)
    for part in parts:
        choices = node.get("anyOf", (node,))
        steps = (_step(resolve(schema, choice), part) for choice in choices)
        node = resolve(schema, next((step for step in steps if step), {}))
    return node


def _step(node: Node, part: str | int) -> Node:
    if isinstance(part, int):
        items = node.get("prefixItems", ())
        found = items[part] if 0 <= part < len(items) else node.get("items", {})
    else:
        patterns = list(node.get("patternProperties", {}).values())
        found = node.get("properties", {}).get(part) or (patterns[0] if patterns else node.get("additionalProperties"))
    return found if isinstance(found, Mapping) else {}


def wanted(schema: Node, node: Node) -> str:
    """What a value must be, in words: `a whole number greater than 0`, `one of 'one', 'all'`."""
    node = resolve(schema, node)
    if "enum" in node or "const" in node:
        values = node.get("enum", [node.get("const")])
        return ("one of " if len(values) > 1 else "") + ", ".join(_literal(value) for value in values)
    choices = node.get("anyOf") or node.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(wanted(schema, choice) for choice in choices if choice.get("type") != "null"))
    kind = node.get("type")
    if kind in ("integer", "number"):
        return " ".join(part for part in ("a whole number" if kind == "integer" else "a number", _range(node)) if part)
    if kind == "string":
        return _text(node)
    if kind == "array":
        return _list(schema, node)
    if kind == "object":
        inner = node.get("additionalProperties")
        needed = " and ".join(f"`{key}`" for key in node.get("required", ()))
        each = f" whose values are each {wanted(schema, inner)}" if isinstance(inner, Mapping) and inner else ""
        return "a table" + (f" with {needed}" if needed else each)
    return {"boolean": "true or false"}.get(str(kind), "another value")


def _literal(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _range(node: Node) -> str:
    if "minimum" in node and "maximum" in node:
        return f"from {node['minimum']} to {node['maximum']}"
    return " and ".join(f"{words} {node[key]:.15g}" for key, words in BOUNDS.items() if key in node)


def _text(node: Node) -> str:
    words = "a path" if node.get("format") in ("path", "file-path", "directory-path") else "text"
    if "pattern" in node:
        words = PATTERNS.get(node["pattern"], f"text that matches {node['pattern']}")
    if node.get("minLength"):
        words += f" of at least {node['minLength']} character(s)" if node["minLength"] > 1 else " that is not empty"
    return words + (f", at most {node['maxLength']} characters" if "maxLength" in node else "")


def _list(schema: Node, node: Node) -> str:
    places = [wanted(schema, item) for item in node.get("prefixItems", ())]
    if places:
        each = f"each {places[0]}" if len(set(places)) == 1 else "first " + ", then ".join(places)
        return f"a list of {len(places)}: {each}"
    items = node.get("items")
    least = f" of at least {node['minItems']}" if node.get("minItems") else ""
    return f"a list{least}" + (f", each {wanted(schema, items)}" if items else "")


def meant(key: str, node: Node) -> str:
    """What the writer of an unknown key probably wanted: `did you mean 'lr'?`, another table, or what is known."""
    known = sorted(node.get("properties", {}))
    synonym = SYNONYMS.get(key.lower().replace("-", "_"), "")
    if synonym in known:
        return f"did you mean '{synonym}'?"
    elsewhere = _tables_with(key) or _tables_with(synonym)
    cleaned = clean(key)
    near = suggest(cleaned, known)
    if elsewhere:
        name = key if _tables_with(key) else synonym
        place = f"'{name}' belongs under {' or '.join(f'[{table}]' for table in elsewhere)}"
        return f"{near} {place}" if closest(cleaned, known) is not None else place
    return near if known else "it takes no keys"


def _tables_with(key: str) -> list[str]:
    """The tables of the manifest with this key; `use` is in so many that it tells nothing."""
    if not key or key in ("use", "source", "weight"):
        return []
    root = manifest_node()
    return [name for name in root["properties"] if key in node_at(root, [name]).get("properties", {})]
