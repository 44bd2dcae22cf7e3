"""The emotion taxonomies: each label has one parent, and folding twice equals folding once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emomtl import Taxonomy
from emomtl_tasks.emotions import EKMAN, EMOTIONS, SENTIMENT

PAIRS = [
    pytest.param(EMOTIONS, "ekman", EKMAN, id="emotions-ekman"),
    pytest.param(EMOTIONS, "sentiment", SENTIMENT, id="emotions-sentiment"),
    pytest.param(EKMAN, "sentiment", SENTIMENT, id="ekman-sentiment"),
]
some_emotions = st.sets(st.sampled_from(EMOTIONS.names))


def test_there_are_28_emotions_7_of_ekman_and_4_sentiments() -> None:
    assert (len(EMOTIONS), len(EKMAN), len(SENTIMENT)) == (28, 7, 4)
    assert EMOTIONS[0] == "admiration"
    assert EMOTIONS[27] == "neutral"


@pytest.mark.parametrize("taxonomy", [EMOTIONS, EKMAN, SENTIMENT])
def test_every_label_has_its_own_one_sentence_definition(taxonomy: Taxonomy) -> None:
    definitions = [label.definition for label in taxonomy.labels]
    assert len(set(definitions)) == len(definitions)
    for definition in definitions:
        assert definition[0].isupper()
        assert definition.endswith(".")
        assert definition.count(".") == 1


def test_every_emotion_has_coordinates_between_0_and_1() -> None:
    for label in EMOTIONS.labels + EKMAN.labels:
        assert label.vad is not None
        assert len(label.vad) == 3
        assert all(0 <= value <= 1 for value in label.vad)


def test_an_ekman_label_has_the_coordinates_of_its_word() -> None:
    words = {label.name: label.vad for label in EMOTIONS.labels}
    assert all(label.vad == words[label.name] for label in EKMAN.labels)


def test_vad_points_order_known_emotions() -> None:
    vad = {label.name: label.vad or (0.0, 0.0, 0.0) for label in EMOTIONS.labels}
    assert vad["joy"][0] > 0.9 > 0.1 > vad["grief"][0]
    assert vad["anger"][1] > 0.8 > 0.3 > vad["sadness"][1]


@pytest.mark.parametrize(("fine", "name", "coarse"), PAIRS)
def test_every_label_has_one_parent_in_each_grouping(
    fine: Taxonomy, name: str, coarse: Taxonomy
) -> None:
    grouping = fine.grouping(name)
    members = [member for group in grouping.groups.values() for member in group]
    assert sorted(members) == sorted(fine.names)
    assert grouping.names == coarse.names


@pytest.mark.parametrize(("fine", "name", "coarse"), PAIRS)
def test_neutral_stays_neutral_and_nothing_else_becomes_it(
    fine: Taxonomy, name: str, coarse: Taxonomy
) -> None:
    assert fine.grouping(name).groups["neutral"] == ("neutral",)
    assert "neutral" in coarse


@pytest.mark.parametrize(
    ("ekman", "sentiment"), [("joy", "positive"), ("surprise", "ambiguous"), ("neutral", "neutral")]
)
def test_an_ekman_label_and_a_sentiment_have_the_same_members(ekman: str, sentiment: str) -> None:
    members = set(EMOTIONS.grouping("ekman").groups[ekman])
    assert members == set(EMOTIONS.grouping("sentiment").groups[sentiment])
    assert EKMAN.grouping("sentiment").groups[sentiment] == (ekman,)


@given(some_emotions)
def test_folding_by_way_of_ekman_equals_folding_at_once(emotions: set[str]) -> None:
    by_way = EKMAN.grouping("sentiment").fold(EMOTIONS.grouping("ekman").fold(emotions))
    assert by_way == EMOTIONS.grouping("sentiment").fold(emotions)


@pytest.mark.parametrize("name", ["ekman", "sentiment"])
@given(one=some_emotions, other=some_emotions)
def test_folding_is_or_over_the_members(name: str, one: set[str], other: set[str]) -> None:
    grouping = EMOTIONS.grouping(name)
    assert set(grouping.fold(one | other)) == set(grouping.fold(one)) | set(grouping.fold(other))
    assert all(
        (parent in grouping.fold(one)) == bool(one & set(members))
        for parent, members in grouping.groups.items()
    )


@pytest.mark.parametrize("name", ["ekman", "sentiment"])
@given(one=some_emotions, more=some_emotions)
def test_more_emotions_never_lose_a_coarse_label(name: str, one: set[str], more: set[str]) -> None:
    grouping = EMOTIONS.grouping(name)
    assert set(grouping.fold(one)) <= set(grouping.fold(one | more))


def test_the_labels_stand_in_the_published_order(corpora: Path) -> None:
    assert (
        list(EMOTIONS.names)
        == (corpora / "goemotions/emotions.txt").read_text(encoding="utf-8").split()
    )


@pytest.mark.parametrize(
    ("name", "file"), [("ekman", "ekman_mapping.json"), ("sentiment", "sentiment_dict.json")]
)
def test_our_groupings_are_the_published_ones_with_neutral_added(
    corpora: Path, name: str, file: str
) -> None:
    published = json.loads((corpora / "goemotions" / file).read_text(encoding="utf-8"))
    ours = {parent: set(members) for parent, members in EMOTIONS.grouping(name).groups.items()}
    assert ours == {parent: set(members) for parent, members in published.items()} | {
        "neutral": {"neutral"}
    }
