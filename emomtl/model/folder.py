"""Checks of a model's folder before transformers reads it: no code, no other model, sane sizes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emomtl.errors import EmomtlError, Problem, clean, quoted
from emomtl.safety.untrusted import MOST_HEADER, leads_out, loads, tensor_header

CODE_KEYS = (
    *("auto_map", "custom_pipelines", "custom_generate"),
    *("_attn_implementation_internal", "trust_remote_code"),
)
"""Keys, at any depth of a model's JSON files, that name code."""

ATTENTION_KEYS = ("attn_implementation", "_attn_implementation")
"""Keys whose value may be a repository of compiled kernels."""

ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
ADAPTER = "adapter_config.json"
"""A file for which transformers loads the model that it names, and not the folder's own."""

CONFIG, INDEX = "config.json", "model.safetensors.index.json"
READ = (
    *(CONFIG, "tokenizer_config.json", "generation_config.json"),
    *("special_tokens_map.json", "added_tokens.json", INDEX),
)
MOST_BYTES, MOST_TOKENIZER = 10_000_000, 100_000_000
"""Bytes of a JSON file of a model, and of tokenizer.json."""

MOST_LAYERS = 1_000


def check_folder(folder: Path) -> None:
    """EmomtlError for a file that names code or another model, leads elsewhere, or is too large."""
    if not (folder / CONFIG).is_file():
        finding, remedy = f"{folder} has no config.json", "name a folder that holds a model"
        raise EmomtlError(Problem("encoder.use", finding, remedy))
    if (folder / ADAPTER).exists():
        remedy = "merge the adapter into its model, and save that"
        raise _refused(folder / ADAPTER, "names another model to load", remedy)
    for path in sorted(folder.iterdir()):
        _check_place(folder, path)
    for name in READ:
        if (folder / name).is_file():
            check_content(folder / name, _content(folder / name))
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file() and tokenizer.stat().st_size > MOST_TOKENIZER:
        raise _refused(tokenizer, f"is larger than {MOST_TOKENIZER:,} bytes", "is it a tokenizer?")
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            try:
                tensor_header(stream.read(8 + MOST_HEADER), path.stat().st_size)
            except ValueError as error:
                finding = f"does not read: {clean(str(error))}"
                raise _refused(path, finding, "is the file whole?") from error


def check_content(path: Path, content: Any) -> None:
    """Refuse a JSON file that names code, kernels or files elsewhere, or has absurd sizes."""
    for key, value in _pairs(content):
        if key in CODE_KEYS and value:
            finding = f"names code ('{key}'); emomtl runs none"
            raise _refused(path, finding, "use a model without custom code")
        if key in ATTENTION_KEYS and value is not None and value not in ATTENTION:
            finding = f"names code ('{key}' is {quoted(value)})"
            raise _refused(path, finding, f"one of {', '.join(ATTENTION)}")
        if "layers" in key and type(value) is int and value > MOST_LAYERS:
            raise _refused(path, f"'{clean(key)}' is {value:,}", f"at most {MOST_LAYERS:,} layers")
    if path.name == INDEX:
        weight_map = content.get("weight_map") if isinstance(content, dict) else None
        names = list(weight_map.values()) if isinstance(weight_map, dict) else [None]
        for name in names:
            is_file_name = isinstance(name, str) and Path(name).name == name
            if not is_file_name or Path(str(name)).suffix != ".safetensors":
                finding = f"names a file outside of its folder ({quoted(name)})"
                raise _refused(path, finding, "a weight lies in a .safetensors file beside it")


def check_size(module: Any, weights: int) -> None:
    """Refuse a model with far more parameters than its files have bytes.

    Parameters are counted without memory for them.
    """
    parameters = sum(parameter.numel() for parameter in module.parameters())
    # weights are kept in a byte each at least; below a million nobody is harmed
    if parameters > max(weights, 1_000_000):
        asks = f"its configuration asks for {parameters:,} numbers"
        finding = f"{asks}, and its weights have {weights:,} bytes"
        remedy = "are config.json and the weights of one model?"
        raise EmomtlError(Problem("encoder.use", finding, remedy))


def weights_bytes(folder: Path) -> int:
    """The bytes of all files of weights in a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _check_place(folder: Path, path: Path) -> None:
    """Refuse pipes and devices, and links out of the folder, but the hub cache's into its blobs."""
    if path.is_symlink() and leads_out(folder, path):
        finding = f"is a link that leads out of the folder, to {clean(os.readlink(path))}"
        raise _refused(path, finding, "copy the file itself")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise _refused(path, "is neither a file nor a folder", "remove it")


def _content(path: Path) -> Any:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES:,} bytes")
        return loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        finding = f"does not read: {clean(str(error))}"
        raise _refused(path, finding, "is the folder complete?") from error


def _pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key of the content with its value, at any depth."""
    stack = [content]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            yield from value.items()
            stack += value.values()
        elif isinstance(value, list):
            stack += value


def _refused(path: Path, finding: str, remedy: str) -> EmomtlError:
    return EmomtlError(Problem("encoder.use", f"{clean(str(path), 400)} {finding}", remedy))
