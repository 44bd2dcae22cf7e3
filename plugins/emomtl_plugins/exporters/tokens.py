"""Texts as padded tensors, by a tokenizer of transformers: what exports are checked with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

BATCH = 64


def batches(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, max_tokens: int, kind: str
) -> Iterator[dict[str, Any]]:
    """The inputs of an encoder for `BATCH` texts at a time; `kind` is `pt` or `np`."""
    for start in range(0, len(texts), BATCH):
        first = list(texts[start : start + BATCH])
        second = None if pairs is None else list(pairs[start : start + BATCH])
        yield dict(
            tokenizer(
                first,
                second,
                truncation=True,
                max_length=max_tokens,
                padding=True,
                return_tensors=kind,
            )
        )
