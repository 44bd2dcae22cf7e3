"""Texts as token ids: padded batches hold what the tokenizer gives for each text, and a text of
megabytes costs nothing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl.data.corpus import CorpusSplit
from emomtl.data.tokens import tokenise

TEXTS = ["i was so happy today", "", "[/foo] NA null", "sad " * 40, "naïve café 😀", "   "]


@pytest.fixture(scope="module")
def tokenizer(encoder: Path) -> Any:
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(encoder)
    found.model_input_names = ["input_ids", "attention_mask", "token_type_ids"]
    return found


def split(texts: list[str], pairs: list[str] | None = None) -> CorpusSplit:
    return CorpusSplit(np.arange(len(texts)), texts, pairs)


@pytest.mark.parametrize("pairs", [None, ["yes", "", "no thanks", "b", "happy " * 30, "c"]])
def test_a_batch_is_what_the_tokenizer_gives_for_its_texts(
    tokenizer: Any, pairs: list[str] | None
) -> None:
    tokens = tokenise(tokenizer, split(TEXTS, pairs), 12)
    rows = np.array([4, 0, 3, 1, 5])
    chosen = [TEXTS[i] for i in rows], None if pairs is None else [pairs[i] for i in rows]
    wanted = tokenizer(*chosen, truncation=True, max_length=12, padding=True, return_tensors="np")
    found = tokens.batch(rows)
    assert set(found) == (
        {"input_ids", "attention_mask"} | ({"token_type_ids"} if pairs else set())
    )
    for name, array in found.items():
        assert np.array_equal(array, wanted[name]), name


def test_chunks_make_no_difference(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tokenise(tokenizer, split(TEXTS), 12)
    monkeypatch.setattr("emomtl.data.tokens.CHUNK", 4)
    parts = tokenise(tokenizer, split(TEXTS), 12)
    assert np.array_equal(whole.ids, parts.ids)
    assert np.array_equal(whole.starts, parts.starts)


def test_a_text_of_ten_megabytes_is_cut_counted_and_fast(tokenizer: Any) -> None:
    began = time.perf_counter()
    tokens = tokenise(tokenizer, split(["happy", "sad words " * 1_000_000]), 64)
    assert time.perf_counter() - began < 1
    assert tokens.cut == 1
    assert tokens.lengths.tolist() == [3, 64]


def test_no_texts_are_no_tokens(tokenizer: Any) -> None:
    tokens = tokenise(tokenizer, split([]), 12)
    assert len(tokens.lengths) == 0
