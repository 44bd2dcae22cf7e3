"""A model's folder, looked through before transformers sees it: it names no code and no other
model, and its sizes fit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emomtl.errors import EmomtlError, Problem, clean, quoted
from emomtl.safety.untrusted import MOST_HEADER, leads_out, loads, tensor_header

CODE_KEYS = (
    "auto_map",
    "custom_pipelines",
    "custom_generate",
    "_attn_implementation_internal",
    "trust_remote_code",
)
"""Keys, at any depth of a model's JSON files, that name code."""

ATTENTION_KEYS = ("attn_implementation", "_attn_implementation")
"""Keys whose value may be a repository of compiled kernels."""

ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
ADAPTER = "adapter_config.json"
"""A file for which transformers loads the model that it names, and not the folder's own."""

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
READ = (
    CONFIG,
    "tokenizer_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    INDEX,
)
MOST_BYTES, MOST_TOKENIZER = 10_000_000, 100_000_000
"""Bytes of a JSON file of a model, and of tokenizer.json."""

MOST_LAYERS = 1_000


def check_folder(folder: Path) -> None:
    """Refuse what names code or another model, leads elsewhere, or is larger than any model;
    EmomtlError with the file.
    """
    if not (folder / CONFIG).is_file():
        raise EmomtlError(
            Problem(
                "encoder.use", f"{folder} has no config.json", "name a folder that holds a model"
            )
        )
    if (folder / ADAPTER).exists():
        raise _refused(
            folder / ADAPTER,
            "names another model to load",
            "merge the adapter into its model, and save that",
        )
    for path in sorted(folder.iterdir()):
        _check_place(folder, path)
    for name in READ:
        if (folder / name).is_file():
            check_content(folder / name, _content(folder / name, MOST_BYTES))
    if (
        tokenizer := folder / "tokenizer.json"
    ).is_file() and tokenizer.stat().st_size > MOST_TOKENIZER:
        raise _refused(tokenizer, f"is larger than {MOST_TOKENIZER:,} bytes", "is it a tokenizer?")
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            try:
                tensor_header(stream.read(8 + MOST_HEADER), path.stat().st_size)
            except ValueError as error:
                raise _refused(
                    path, f"does not read: {clean(str(error))}", "is the file whole?"
                ) from error


def check_content(path: Path, content: Any) -> None:
    """Refuse a JSON file that names code, kernels or files elsewhere, or has absurd sizes."""
    for key, value in _pairs(content):
        if key in CODE_KEYS and value:
            raise _refused(
                path, f"names code ('{key}'); emomtl runs none", "use a model without custom code"
            )
        if key in ATTENTION_KEYS and value is not None and value not in ATTENTION:
            raise _refused(
                path, f"names code ('{key}' is {quoted(value)})", f"one of {', '.join(ATTENTION)}"
            )
        if "layers" in key and type(value) is int and value > MOST_LAYERS:
            raise _refused(path, f"'{clean(key)}' is {value:,}", f"at most {MOST_LAYERS:,} layers")
    if path.name == INDEX:
        names = content.get("weight_map") if isinstance(content, dict) else None
        for name in names.values() if isinstance(names, dict) else [None]:
            if (
                not isinstance(name, str)
                or Path(name).name != name
                or not name.endswith(".safetensors")
            ):
                found = f"names a file outside of its folder ({quoted(name)})"
                raise _refused(path, found, "a weight lies in a .safetensors file beside it")


def check_size(module: Any, weights: int) -> None:
    """Refuse a model whose parameters, counted without memory, are far more than its file of
    weights holds.
    """
    wanted = sum(parameter.numel() for parameter in module.parameters())
    if wanted > max(weights, 1_000_000):  # a byte a parameter is the least that weights are kept in
        found = (
            f"its configuration asks for {wanted:,} numbers, and its weights have {weights:,} bytes"
        )
        raise EmomtlError(
            Problem("encoder.use", found, "are config.json and the weights of one model?")
        )


def weights_bytes(folder: Path) -> int:
    """The bytes of all files of weights in a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _check_place(folder: Path, path: Path) -> None:
    """Refuse a link out of the folder, unless it is the hub cache's own into its blobs; and pipes
    and devices.
    """
    if path.is_symlink() and leads_out(folder, path):
        raise _refused(
            path,
            f"is a link that leads out of the folder, to {clean(os.readlink(path))}",
            "copy the file itself",
        )
    if path.exists() and not path.is_file() and not path.is_dir():
        raise _refused(path, "is neither a file nor a folder", "remove it")


def _content(path: Path, most: int) -> Any:
    try:
        if path.stat().st_size > most:
            raise ValueError(f"larger than {most:,} bytes")
        return loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(
            path, f"does not read: {clean(str(error))}", "is the folder complete?"
        ) from error


def _pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key of the content with its value, at any depth."""
    todo = [content]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            yield from one.items()
            todo += one.values()
        elif isinstance(one, list):
            todo += one


def _refused(path: Path, found: str, remedy: str) -> EmomtlError:
    return EmomtlError(Problem("encoder.use", f"{clean(str(path), 400)} {found}", remedy))
