"""Lexical shortcuts: planted marks and words are found with their counts, others are not, and
private ones are not named.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emomtl import MultiLabel
from emomtl.analyses.audit.findings import Report
from emomtl.analyses.audit.shortcuts import find_shortcuts, shortcuts

FILLER = "the a i my we you it was today and so very really then home work friend day ?"
SURFACE = {"joy": ":)", "anger": "r/rage"}


def rows(n: int = 600, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of the same words under both labels; a third of each label's rows carry its own mark,
    and a few the other's.
    """
    draw = np.random.default_rng(seed)
    found = []
    for number in range(n):
        label = "joy" if number % 2 else "anger"
        words = list(map(str, draw.choice(FILLER.split(), 8)))
        if number % 6 < 2:
            words.append(SURFACE[label])
        if number % 60 < 2:
            words.append("see https://example.org/" + str(number))
        if label == "anger" and number % 3 == 0:
            words.append("Furious")
        found.append((" ".join(words), label))
    return found


def test_marks_and_words_that_predict_a_label_are_found_and_others_are_not(plant: Any) -> None:
    (group,) = plant({"one": {"train": rows()}})
    found = {one.piece: one for one in find_shortcuts(group.rows["train"], group.answers[0])}
    assert set(found) == {":)", "r/rage", "furious"}
    assert (found[":)"].kind, found[":)"].label, found[":)"].rows, found[":)"].told) == (
        "emoticon",
        "joy",
        100,
        1.0,
    )
    assert (found["r/rage"].kind, found["r/rage"].label) == ("subreddit", "anger")
    assert found["furious"].kind == "word"
    chi2_contingency = pytest.importorskip("scipy.stats").chi2_contingency
    table = [[100, 0], [200, 300]]
    assert found[":)"].z ** 2 == pytest.approx(chi2_contingency(table, correction=False).statistic)


def test_marks_are_a_warning_and_words_a_note(plant: Any) -> None:
    report = Report("test")
    shortcuts(plant({"one": {"train": rows()}}), report)
    assert [(one.kind, one.severity, one.count) for one in report.findings] == [
        ("surface-shortcuts", "warning", 2),
        ("telling-words", "note", 1),
    ]
    assert ":) (joy in 100% of 100)" in report.findings[0].text


def test_every_label_of_several_is_asked_for(plant: Any) -> None:
    train = [(text, [label, "both"]) for text, label in rows()]
    (group,) = plant({"one": {"train": train}}, labels=("joy", "anger", "both"), head=MultiLabel())
    assert {
        (one.piece, one.label) for one in find_shortcuts(group.rows["train"], group.answers[0])
    } == {(":)", "joy"), ("r/rage", "anger"), ("furious", "anger")}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("look www.example.org/a?b now", "link"),
        ("hey @someone_1 there", "mention"),
        ("fine :-D then", "emoticon"),
        ("oh :'( no", "emoticon"),
        ("ok xD yes", "emoticon"),
        ("go /r/somewhere please", "subreddit"),
        ("so #FollowFriday it", "hashtag"),
        ("dear [NAME] hello", "mark"),
        ("you &amp; me", "mark"),
        ("nice \u2764 one", "emoji"),
        ("what?! no", "punctuation"),
    ],
)
def test_what_is_no_word_is_known_for_what_it_is(plant: Any, text: str, kind: str) -> None:
    train = [
        (text if number % 2 else "nothing", "joy" if number % 2 else "anger")
        for number in range(200)
    ]
    (group,) = plant({"one": {"train": train}})
    found = [
        one for one in find_shortcuts(group.rows["train"], group.answers[0]) if one.kind != "word"
    ]
    assert [(one.kind, one.label, one.rows) for one in found] == [(kind, "joy", 100)]


def test_of_a_sensitive_task_only_the_kinds_are_counted(plant: Any) -> None:
    report = Report("test")
    shortcuts(plant({"one": {"train": rows()}}, sensitive={"one"}), report)
    said = [one.text for one in report.findings]
    assert said == [
        "2, not named as the task is sensitive: emoticon 1, subreddit 1",
        "1, not named as the task is sensitive: word 1",
    ]
    assert report.tables[0].rows == ()
    assert not [word for word in ("furious", "rage", ":)") if word in str(report.as_json())]


def test_words_are_whole_in_every_script_and_signs_of_those_that_are_not_cut() -> None:
    from emomtl.analyses.audit.shortcuts import _kind, _pieces

    assert list(_pieces("मैं खुश हूँ #खुशी @नाम don’t")) == [
        "मैं",
        "खुश",
        "हूँ",
        "#खुशी",
        "<mention>",
        "don’t",
    ]
    assert list(_pieces("我爱你 สวัสดี")) == ["我", "爱", "你", "ส", "วั", "ส", "ดี"]
    assert [_kind(piece) for piece in ("खुश", "#खुशी", "我", "วั", "don’t", "😀", "!!")] == [
        *("word", "hashtag", "word", "word", "word", "emoji", "punctuation")
    ]


def test_a_hindi_word_that_predicts_a_label_is_found_whole(plant: Any) -> None:
    train = [(f"{text} खुश" if label == "joy" else text, label) for text, label in rows()]
    (group,) = plant({"one": {"train": train}})
    found = {one.piece: one.label for one in find_shortcuts(group.rows["train"], group.answers[0])}
    assert found["खुश"] == "joy"
    assert not any(len(piece) == 1 for piece in found)


def test_label_noise_counts_whole_words() -> None:
    from emomtl.analyses.audit.noise import _pieces

    assert _pieces("मैं बहुत खुश हूँ!") == ["मैं", "बहुत", "खुश", "हूँ", "!"]
    assert _pieces("so happy !!") == ["so", "happy", "!!"]
    assert _pieces("我爱 ok") == ["我", "爱", "ok"]
