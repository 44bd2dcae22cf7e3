"""Head, tail, and both: what is kept of a long text is what a slow reading of its tokens says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl.contracts.encoder import HEAD, Truncation
from emomtl.data.corpus import CorpusSplit
from emomtl.data.tokens import CHARACTERS_PER_TOKEN, Tokens, as_read, token_places, tokenise
from emomtl.data.truncation import Fitted, fitted

SENTENCE = (
    "i was so happy today and then my friends laughed at work we cried alone [NAME] [SEP] naïve 😀"
)
WORDS = SENTENCE.split()
WAYS = [HEAD, Truncation("tail"), Truncation("head+tail", 3), Truncation("head+tail", 40)]
NAMES = ["head", "tail", "both", "both, head longer than the room"]

texts = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)


@pytest.fixture(scope="module")
def tokenizer(encoder: Path) -> Any:
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(encoder)
    found.add_tokens(["[NAME]"], special_tokens=True)
    found.model_input_names = ["input_ids", "attention_mask", "token_type_ids"]
    return found


def split(texts: list[str], pairs: list[str] | None = None) -> CorpusSplit:
    return CorpusSplit(np.arange(len(texts)), texts, pairs)


def content(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def slowly(tokenizer: Any, text: str, room: int, way: Truncation) -> list[int]:
    """The tokens of a text one by one: those whose place is kept."""
    ids = content(tokenizer, text)
    if len(ids) <= room:
        return ids
    if way.keep == "head":
        return ids[:room]
    head = 0 if way.keep == "tail" else min(way.head_tokens, room)
    return [
        token
        for place, token in enumerate(ids)
        if place < head or place >= len(ids) - (room - head)
    ]


def rows(tokens: Tokens) -> list[list[int]]:
    return [
        tokens.ids[a:b].tolist() for a, b in zip(tokens.starts[:-1], tokens.starts[1:], strict=True)
    ]


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(texts, min_size=1, max_size=5), max_tokens=st.integers(4, 30))
def test_the_kept_tokens_are_those_of_a_slow_reading(
    tokenizer: Any, way: Truncation, texts: list[str], max_tokens: int
) -> None:
    found = rows(tokenise(tokenizer, split(texts), max_tokens, way))
    begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert found == [[begin, *slowly(tokenizer, text, max_tokens - 2, way), end] for text in texts]


@settings(max_examples=60, deadline=None)
@given(first=texts, second=texts, max_tokens=st.integers(6, 40), way=st.sampled_from(WAYS[1:]))
def test_only_the_first_text_of_a_pair_keeps_its_tail(
    tokenizer: Any, first: str, second: str, max_tokens: int, way: Truncation
) -> None:
    plain = tokenise(tokenizer, split([first], [second]), max_tokens)
    found = tokenise(tokenizer, split([first], [second]), max_tokens, way)
    assert plain.types is not None
    assert found.types is not None
    assert found.types.tolist() == plain.types.tolist(), (
        "each text has as many tokens as longest_first leaves it"
    )
    mine, theirs = found.ids.tolist(), plain.ids.tolist()
    side = plain.types.tolist().count(0)
    assert mine[side:] == theirs[side:]
    assert mine[1 : side - 1] == slowly(tokenizer, first, side - 2, way)


@pytest.mark.parametrize("way", WAYS[1:], ids=NAMES[1:])
def test_a_text_that_fits_is_left_as_it_is(tokenizer: Any, way: Truncation) -> None:
    short = ["", "   ", "i was so happy today", "[NAME] cried"]
    assert rows(tokenise(tokenizer, split(short), 8, way)) == rows(
        tokenise(tokenizer, split(short), 8)
    )


def test_128_and_382_of_512_are_the_paper_s(tokenizer: Any) -> None:
    words = " ".join(WORDS[n % 12] for n in range(900))
    ids = content(tokenizer, words)
    (found,) = rows(tokenise(tokenizer, split([words]), 512, Truncation("head+tail", 128)))
    assert len(found) == 512
    assert found[1:129] == ids[:128]
    assert found[129:511] == ids[-382:]


@pytest.mark.parametrize(("keep", "cut"), [("head", 2), ("tail", 2), ("head+tail", 1)])
def test_both_ends_of_a_huge_text_are_read(tokenizer: Any, keep: Any, cut: int) -> None:
    most = 12 * CHARACTERS_PER_TOKEN
    vast = "happy " * 100_000 + "cried " * 100_000
    medium = "happy " * (most // 6) + "cried " * (most // 12)
    tokens = tokenise(tokenizer, split([vast, medium, "so"]), 12, Truncation(keep, 4))
    happy, cried = content(tokenizer, "happy")[0], content(tokenizer, "cried")[0]
    wanted = {"head": [happy] * 10, "tail": [cried] * 10, "head+tail": [happy] * 4 + [cried] * 6}[
        keep
    ]
    assert [row[1:-1] for row in rows(tokens)[:2]] == [wanted, wanted]
    assert tokens.cut == cut


def test_an_encoding_without_any_special_token_is_cut_too() -> None:
    class Plain:
        ids, type_ids, sequence_ids = list(range(10)), [0] * 10, [0] * 10

    assert fitted(Plain(), 5, Truncation("head+tail", 2)) == Fitted([0, 1, 7, 8, 9], [0] * 5)


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_each_token_has_its_place_in_what_was_read(tokenizer: Any, way: Truncation) -> None:
    given, max_tokens = split([SENTENCE, "so happy"], ["alone", SENTENCE]), 14
    found = rows(tokenise(tokenizer, given, max_tokens, way))
    sides = [side for side in as_read(given, max_tokens, way) if side is not None]
    for number, (ids, places) in enumerate(
        zip(found, token_places(tokenizer, given, max_tokens, way), strict=True)
    ):
        assert len(ids) == len(places)
        assert [side for side, _, _ in places if side is None] == [None] * 3, (
            "[CLS] and two [SEP] are of no text"
        )
        for token, (side, start, end) in zip(
            tokenizer.convert_ids_to_tokens(ids), places, strict=True
        ):
            if side is not None and token != "[UNK]":
                assert sides[side][number][start:end].replace("ï", "i") == token.removeprefix("##")
