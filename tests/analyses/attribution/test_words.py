"""Known emotion words, words of a text, and the figures, computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emomtl import EmomtlError, Label, Taxonomy
from emomtl.analyses.attribution.focus import FOCUS, OF_WORDS, POINTING, SHARE, focus_of, shares_of
from emomtl.analyses.attribution.gradients import Attributed
from emomtl.analyses.attribution.texts import labels_of, units_of
from emomtl.analyses.attribution.words import WordList, definition_words, file_words, lexicon_words
from emomtl.contracts.feature import TrainingRows


def test_a_text_is_cut_into_words_and_runs_of_other_signs() -> None:
    text = "Don't panic, [NAME] 3rd :) !!"
    units = units_of(text)
    assert [unit.word for unit in units] == ["don't", "panic", ",", "[name]", "3", "rd", ":)", "!!"]
    assert [text[unit.start : unit.end].lower() for unit in units] == [unit.word for unit in units]
    assert units_of("  ") == []
    assert [unit.word for unit in units_of("\u0130zmir happy")] == ["\u0130zmir", "happy"] or len(
        units_of("\u0130zmir happy")
    ) == 2


def test_definitions_give_names_and_words_that_few_definitions_share() -> None:
    labels = [
        Label("joy", "The writer is happy about a thing."),
        Label("fear", "The writer is afraid of harm."),
        Label("grief", "The writer mourns."),
        Label("neutral", "The writer states facts, not afraid."),
    ]
    assert definition_words(Taxonomy(labels)).words == {
        "joy",
        "fear",
        "grief",
        "happy",
        "harm",
        "mourns",
    }
    with pytest.raises(EmomtlError, match="neither names nor definitions"):
        definition_words(Taxonomy(["1", "2"]))


def test_a_lexicon_gives_words_of_the_rows_and_no_stop_words() -> None:
    texts = ["the happy dog !"] * 9 + ["the sad cat"] * 9
    has = np.array([[True, False]] * 9 + [[False, True]] * 9)
    assert lexicon_words(TrainingRows(texts, ("joy", "sadness"), has), 3).words == {
        "happy",
        "dog",
        "sad",
        "cat",
    }


def test_a_file_of_words_is_a_list_or_a_table_with_words_first(tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    path.write_text("# mine\nhappy\nSad\nlet down\n\n")
    assert file_words(path).words == {"happy", "sad"}
    path.write_text("Word\tValence\tArousal\tDominance\nhappy\t1.0\t0.7\t0\nsad\t0\t0\t0\n")
    assert file_words(path).words == {"happy", "sad"}
    path.write_text("happy\tjoy\t1\nhappy\tanger\t0\ntable\tjoy\t0\n")
    assert file_words(path).words == {"happy"}
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(EmomtlError, match="no text in UTF-8"):
        file_words(path)
    path.write_text("\n")
    with pytest.raises(EmomtlError, match="holds no word"):
        file_words(path)
    with pytest.raises(EmomtlError, match=r"missing\.txt"):
        file_words(tmp_path / "missing.txt")


def test_labels_leave_neutral_and_unknown_ones_out() -> None:
    taxonomy = Taxonomy(["joy", "neutral", "fear"])
    assert labels_of(np.array([0, 1, -100, 2]), taxonomy) == [[0], [], [], [2]]
    assert labels_of(np.array([[1, 1, 0.5], [np.nan, 0, 0.2]], np.float32), taxonomy) == [
        [0, 2],
        [],
    ]


def test_shares_and_pointing_game_are_those_of_the_hand() -> None:
    units = [units_of("so happy today"), units_of("sad and bad days")]
    made = Attributed(
        units,
        [np.ones(3, bool), np.array([True, True, True, False])],
        np.array([0, 0, 1]),
        np.array([0, 1, 2]),
        [np.array([1.0, 2.0, -1.0]), np.array([3.0, -1.0, 0.0]), np.array([-1.0, 3.0, 1.0, 0.0])],
        np.ones(3),
        np.zeros(3),
        np.full(3, 32),
    )
    shares = shares_of(made, WordList(frozenset({"happy", "sad", "bad", "days"}), "by hand"))
    assert shares.attribution.tolist() == [(0.5 + 0.25) / 2, 0.4]
    assert shares.pointing.tolist() == [0.5, 0.0]
    assert shares.words.tolist() == [1 / 3, 2 / 3]
    figures = focus_of(shares, 17)
    assert figures[SHARE].value == pytest.approx((0.375 + 0.4) / 2)
    assert (
        figures[SHARE].chance
        == figures[POINTING].chance
        == figures[OF_WORDS].value
        == pytest.approx(0.5)
    )
    assert figures[FOCUS].value == pytest.approx(0.775)
    low, high = figures[FOCUS].interval or (0, 0)
    assert low < 0.775 < high
    assert figures[FOCUS].minus(figures[FOCUS]).interval == (0.0, 0.0)
