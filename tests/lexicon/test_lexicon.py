"""The lexicon: rows that sum to one, the five figures of a text, the ranking of words, and its
file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl import EmomtlError, Learned, Lexicon, TrainingRows
from emomtl.lexicon import FIGURES, not_cut, token_spans, tokens

LABELS = ("joy", "anger", "neutral")
WORDS = ("glad", "fun", "hate", "rage", "the", "day", "!")
ROWS = st.lists(
    st.tuples(st.lists(st.sampled_from(WORDS), max_size=8), st.sets(st.sampled_from(range(3)))),
    min_size=4,
    max_size=14,
)
METHODS = ("mixture", "pmi")


def training(
    rows: list[tuple[list[str], set[int]]], labels: tuple[str, ...] = LABELS
) -> TrainingRows:
    has = np.array([[i in chosen for i in range(len(labels))] for _, chosen in rows])
    return TrainingRows([" ".join(words) for words, _ in rows], labels, has)


def some(seed: int = 0, n: int = 300, labels: tuple[str, ...] = LABELS) -> TrainingRows:
    """Rows of two emotions, whose words stand among those of everyone."""
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        label = int(draw.integers(len(labels)))
        own = WORDS[2 * label : 2 * label + 2] if label < 2 else WORDS[4:6]
        words = [*draw.choice(own, 2), *draw.choice(WORDS[4:], 4)]
        rows.append(
            ([str(word) for word in words], {label} | ({0} if draw.random() < 0.1 else set()))
        )
    return training(rows, labels)


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=40)
@given(rows=ROWS, share=st.just("tuned") | st.floats(0.1, 0.9))
def test_the_weights_of_every_word_sum_to_one(method: Any, rows: Any, share: Any) -> None:
    rows = [*rows, (["day"], {2})]
    lexicon = Lexicon.learn(training(rows), method, share=share, min_rows=1)
    assert lexicon.weights.shape == (len(lexicon.words), 4)
    assert (lexicon.weights >= 0).all()
    np.testing.assert_allclose(lexicon.weights.sum(axis=1), 1.0, atol=1e-12)
    assert (lexicon.weights[:, -1] == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_emotion_s_has_a_column_of_its_own_where_no_label_is_neutral(
    method: Any,
) -> None:
    lexicon = Lexicon.learn(some(labels=("joy", "anger", "calm")), method, min_rows=1)
    assert lexicon.about["background"] == "all rows"
    assert lexicon.weights.sum(axis=1) == pytest.approx(1.0)
    assert (lexicon.weights[:, -1] > 0).all() == (method == "mixture")
    assert lexicon.features(["glad the"]).shape == (1, 15)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_rows_changes_no_bit(method: Any) -> None:
    rows = some()
    order = np.random.default_rng(3).permutation(len(rows.texts))
    shuffled = TrainingRows([rows.texts[i] for i in order], rows.labels, rows.has[order])
    one, other = (Lexicon.learn(given, method).learned().to_bytes() for given in (rows, shuffled))
    assert one == other


def test_a_row_with_two_labels_counts_in_both() -> None:
    rows = [(["glad", "hate"], {0, 1}), (["glad"], {0}), (["hate"], {1}), (["day"], {2})]
    lexicon = Lexicon.learn(training(rows), min_rows=1)
    rows_of = dict(zip(lexicon.words, lexicon.rows.tolist(), strict=True))
    assert rows_of == {"glad": [2, 1, 0], "hate": [1, 2, 0], "day": [0, 0, 1]}


def test_a_row_that_is_neutral_and_something_else_is_no_background() -> None:
    rows = [(["glad"], {0, 2}), (["day"], {2}), (["glad"], {0}), (["hate"], {1})]
    lexicon = Lexicon.learn(training(rows), share=0.5, min_rows=1)
    neutral = dict(zip(lexicon.words, lexicon.weights[:, 2], strict=True))
    assert neutral["day"] > 0.9
    assert neutral["glad"] < 0.2


def test_the_mixture_takes_common_words_from_an_emotion_and_keeps_its_own() -> None:
    lexicon = Lexicon.learn(some(), share=0.4)
    joy = dict(zip(lexicon.words, lexicon.weights[:, 0], strict=True))
    assert joy["glad"] > 0.8
    assert joy["fun"] > 0.8
    assert joy["the"] < 0.2
    assert {word for word, _, _ in lexicon.top("joy", 2)} == {"glad", "fun"}
    assert lexicon.about["log_likelihood"]["last"] > lexicon.about["log_likelihood"]["first"]
    assert lexicon.about["lambda"] == {"joy": 0.4, "anger": 0.4}


def test_pointwise_mutual_information_is_that_of_the_definition() -> None:
    rows = [(["glad", "the"], {0}), (["hate", "the"], {1}), (["the", "day"], {2}), (["glad"], {2})]
    lexicon = Lexicon.learn(training(rows), "pmi", min_rows=1)
    glad = lexicon.weights[lexicon.words.index("glad")]
    joy, neutral = math.log((1 / 7) / ((2 / 7) * (2 / 7))), math.log((1 / 7) / ((2 / 7) * (3 / 7)))
    assert glad.tolist() == pytest.approx([joy / (joy + neutral), 0, neutral / (joy + neutral), 0])


def by_hand(lexicon: Lexicon, text: str, threshold: float) -> list[float]:
    """The five figures, token by token, from their definitions."""
    found: dict[str, list[float]] = {figure: [] for figure in FIGURES}
    known = [
        lexicon.weights[lexicon.words.index(word)] for word in tokens(text) if word in lexicon.words
    ]
    for place in range(len(lexicon.labels)):
        strong = [weights[place] for weights in known if weights[place] >= threshold]
        found["total_count"].append(sum(weights.argmax() == place for weights in known))
        found["total_intensity"].append(sum(weights[place] for weights in known))
        found["max_intensity"].append(max((weights[place] for weights in known), default=0.0))
        found["graded_count"].append(len(strong))
        found["graded_intensity"].append(sum(strong))
    return [value for figure in FIGURES for value in found[figure]]


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=40)
@given(
    texts=st.lists(st.lists(st.sampled_from([*WORDS, "unknown"]), max_size=9), max_size=7),
    threshold=st.floats(0.05, 1),
)
def test_the_five_figures_are_those_of_their_definitions(
    method: Any, texts: list[list[str]], threshold: float
) -> None:
    lexicon = Lexicon.learn(some(), method)
    given = [" ".join(words) for words in texts]
    found = lexicon.features(given, threshold)
    assert found.shape == (len(given), len(lexicon.feature_names))
    for text, row in zip(given, found, strict=True):
        np.testing.assert_allclose(row, by_hand(lexicon, text, threshold), atol=1e-12)


def test_a_file_gives_the_lexicon_back_and_says_when_a_byte_has_changed() -> None:
    lexicon = Lexicon.learn(some())
    data = lexicon.learned().to_bytes()
    again = Lexicon.of(Learned.from_bytes(data, "a.safetensors"))
    assert (again.words, again.labels, again.about) == (
        lexicon.words,
        lexicon.labels,
        lexicon.about,
    )
    assert again.learned().to_bytes() == data
    for place in range(0, len(data), 97):
        broken = bytearray(data)
        broken[place] ^= 0x11
        with pytest.raises(
            EmomtlError, match=r"a\.safetensors: (damaged|does not read|holds no lexicon)"
        ):
            Lexicon.of(Learned.from_bytes(bytes(broken), "a.safetensors"), "a.safetensors")
    with pytest.raises(EmomtlError, match="holds no lexicon"):
        Lexicon.of(Learned.from_bytes(Learned({}, {"words": ["a"]}).to_bytes(), "a"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"min_rows": 1000},
            (
                r"no word stands in 1000 of the 300 training rows \(lower `min_rows`, or take more"
                r" rows\)"
            ),
        ),
        (
            {"background": "neutrl"},
            r"background: there is no label 'neutrl' \(did you mean 'neutral'\?\)",
        ),
    ],
)
def test_what_cannot_be_learned_is_said(change: dict[str, Any], said: str) -> None:
    with pytest.raises(EmomtlError, match=said):
        Lexicon.learn(some(), **change)


def test_another_label_can_be_the_background() -> None:
    assert Lexicon.learn(some(), background="anger").about["background"] == "anger"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I DON'T care", ["i", "don't", "care"]),
        ("don’t", ["don't"]),
        ("Über naïve 爱 любовь", ["über", "naïve", "爱", "любовь"]),
        ("so happy :) :-( ;P x'D <3 </3", ["so", "happy", ":)", ":-(", ";p", "x'd", "<3", "</3"]),
        ("no way!!! why?! ok.", ["no", "way", "!!!", "why", "?!", "ok"]),
        ("[NAME] is 25, see https://a.b/c", ["[name]", "is", "see", "https", "a", "b", "c"]),
        ("😂😂 👍🏽 ❤️", ["😂", "😂", "👍", "❤"]),
        ("a:dog (8) 10:30", ["a", "dog"]),
        ("मैं बहुत खुश हूँ!", ["मैं", "बहुत", "खुश", "हूँ", "!"]),
        ("নমস্কার தமிழ் 한국어", ["নমস্কার", "தமிழ்", "한국어"]),
        ("می\u200cخواهم שָׁלוֹם צה״ל", ["می\u200cخواهم", "שָׁלוֹם", "צה״ל"]),
        ("cafe\u0301 café hap\u00adpy col·legi", ["café", "café", "happy", "col·legi"]),
        ("İstanbul'da ok", ["i̇stanbul'da", "ok"]),
        ("我爱你 ดี カタカナ", ["我", "爱", "你", "ดี", "カタカナ"]),
        ("", []),
    ],
)
def test_words_placeholders_emoticons_and_emoji_are_tokens(text: str, found: list[str]) -> None:
    assert tokens(text) == found
    assert [word for word, _, _ in token_spans(text)] == found


def test_spans_hold_the_whole_word_with_its_marks() -> None:
    text = "मैं खुश hap\u00adpy"
    assert [text[start:end] for _, start, end in token_spans(text)] == ["मैं", "खुश", "hap\u00adpy"]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["สวัสดีครับ"] * 3, "100% of the letters are Thai"),
        (["今日はとても嬉しい", "ok"], "82% of the letters are Hiragana and Han"),
        (["मैं बहुत खुश हूँ", "한국어 사랑"], ""),
        (["我爱你", "but most of it is English"], ""),
        (["", "123"], ""),
        ([], ""),
    ],
)
def test_scripts_without_spaces_are_said_where_most_letters_are_theirs(
    texts: list[str], said: str
) -> None:
    found = not_cut(texts)
    assert found.startswith(said)
    assert bool(found) == bool(said)
