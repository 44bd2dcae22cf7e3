"""Near duplicates: none that is returned is false, nearly none is missed, and a crowd costs no
square.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl.analyses.audit import minhash
from emomtl.analyses.audit.minhash import LEAST, PIECE, THRESHOLD, near_duplicates
from emomtl.contracts.sources import normalise

SENTENCE = (
    "so it was a good bad happy sad morning evening never always friend work home again really"
    " small great thing"
)
WORDS = SENTENCE.split()


def pieces(text: str) -> set[bytes]:
    """The pieces of a text, written otherwise than the module does."""
    squeezed = re.sub(
        rb"[^a-z0-9\x80-\xff]+", b" ", normalise(text).encode("utf-8", "replace")
    ).strip()
    return (
        {squeezed[i : i + PIECE] for i in range(len(squeezed) - PIECE + 1)}
        if len(squeezed) >= LEAST
        else set()
    )


def sentences(n: int, seed: int) -> list[str]:
    """n sentences and as many edited copies of them: a few letters changed, words added, case and
    punctuation.
    """
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        words = list(map(str, draw.choice(WORDS, int(draw.integers(8, 30)))))
        found.append(" ".join(words))
        for _ in range(int(draw.integers(0, 3))):
            words[int(draw.integers(len(words)))] = str(draw.choice([*WORDS, "Brand-new!"]))
        found.append(" ".join(words).upper() + "!!" * int(draw.integers(2)))
    return list(dict.fromkeys(found))


def brute(texts: list[str], least: float) -> dict[tuple[int, int], float]:
    """All pairs with a Jaccard similarity of `least` or more."""
    sets = [pieces(text) for text in texts]
    found = {}
    for i, one in enumerate(sets):
        for j in range(i + 1, len(sets)):
            if one and sets[j] and (value := len(one & sets[j]) / len(one | sets[j])) >= least:
                found[i, j] = value
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("ab cé!7ß漢"), min_size=10, max_size=40), max_size=25, unique=True
    )
)
def test_no_pair_is_false_and_its_similarity_is_exact(texts: list[str]) -> None:
    pairs, similar = near_duplicates(texts)
    true = brute(texts, THRESHOLD)
    for (one, other), value in zip(pairs.tolist(), similar.tolist(), strict=True):
        assert one < other
        assert value == pytest.approx(true[one, other])
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)


def test_of_pairs_with_a_similarity_of_09_nearly_all_are_found_and_of_all_near_ones_most() -> None:
    texts = sentences(150, seed=3)
    found = {(one, other) for one, other in near_duplicates(texts)[0].tolist()}
    near = brute(texts, THRESHOLD)
    nearer = {pair for pair, value in near.items() if value >= 0.9}
    assert len(nearer) > 50
    assert len(set(near) - nearer) > 10
    assert len(found & nearer) >= 0.99 * len(nearer)
    assert len(found & set(near)) >= 0.93 * len(near)
    assert found <= set(near)


def test_in_a_crowd_every_text_meets_another_and_the_pairs_stay_few() -> None:
    crowd = [
        f"get a hundred followers a day if you visit this wonderful page today number {i}"
        for i in range(200)
    ]
    pairs, _ = near_duplicates(crowd)
    assert set(pairs.ravel().tolist()) == set(range(200))
    assert len(pairs) <= minhash.BANDS * minhash.NEIGHBOURS * len(crowd)


def test_short_texts_and_texts_without_words_are_not_compared() -> None:
    texts = [
        "thanks a lot",
        "thanks, a lot!",
        "?!?!?!?!?!?!?!?!?!?!",
        "?!?!?!?!?!?!?!?!?!?!?!",
        "",
        "x" * (LEAST - 1),
        "X" * LEAST,
    ]
    assert len(near_duplicates(texts)[0]) == 0
    assert (
        len(near_duplicates([])[0])
        == len(near_duplicates(["one text that is long enough"])[0])
        == 0
    )


def test_case_punctuation_and_spacing_make_no_difference() -> None:
    pairs, similar = near_duplicates(
        [
            "What a lovely, LOVELY morning!",
            "something else that is quite long",
            "what a lovely lovely  morning...",
        ]
    )
    assert (pairs.tolist(), similar.tolist()) == ([[0, 2]], [1.0])


def test_the_answer_is_the_same_in_chunks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(60, seed=5)
    whole = near_duplicates(texts)
    monkeypatch.setattr(minhash, "CHUNK", 100)
    monkeypatch.setattr(minhash, "VERIFIED", 300)
    again = near_duplicates(texts)
    assert np.array_equal(whole[0], again[0])
    assert np.array_equal(whole[1], again[1])
