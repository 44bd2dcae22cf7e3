"""What stands twice, what conflicts, what is rare and what is odd: planted, and found with its
count and its place.
"""

from __future__ import annotations

from typing import Any

import pytest

from emomtl import MultiLabel, Regression
from emomtl.analyses.audit.conflicts import conflicts
from emomtl.analyses.audit.duplicates import Index, duplicates
from emomtl.analyses.audit.findings import Finding, Report
from emomtl.analyses.audit.labels import RARE_SCORED, RARE_TRAIN, labels
from emomtl.analyses.audit.lengths import lengths
from emomtl.analyses.audit.near import near

LONG = "this is a long enough sentence about the weather of number"


def report(*parts: Any) -> Report:
    """A report to which each (function, argument) has added."""
    found = Report("test")
    for function, argument in parts:
        function(argument, found)
    return found


def of(found: Report, kind: str) -> list[Finding]:
    return [one for one in found.findings if one.kind == kind]


def own(n: int, word: str) -> list[tuple[str, str]]:
    """n rows with texts of their own."""
    return [(f"{word} {i}", "joy") for i in range(n)]


def test_texts_in_two_splits_are_counted_by_pair_of_tasks_with_places(plant: Any) -> None:
    one = {
        "train": [("Shared  text", "joy"), ("same", "joy"), *own(3, "t")],
        "validation": [("shared text", "joy"), *own(2, "v")],
        "test": [("same", "anger"), ("SAME", "anger"), *own(2, "e")],
    }
    two = {
        "train": [("SAME", "joy"), ("fresh", "joy")],
        "test": [("shared text", "joy"), ("other", "joy")],
    }
    found = report((duplicates, Index(plant({"one": one, "two": two}))))
    assert [(f.about, f.count, f.severity) for f in of(found, "test-in-train")] == [
        ("one", 2, "error"),
        ("two, one", 1, "error"),
        ("one, two", 2, "error"),
    ]
    assert [(f.about, f.count, f.severity) for f in of(found, "validation-in-train")] == [
        ("one", 1, "warning")
    ]
    assert [(f.about, f.count) for f in of(found, "test-in-validation")] == [("two, one", 1)]
    first = of(found, "test-in-train")[0]
    assert first.text == "2 of 4 rows of one test stand in one train (1 in every character)"
    assert [example.places for example in first.examples] == [
        ("one test row 1", "one train row 2"),
        ("one test row 2", "one train row 2"),
    ]
    assert [example.text for example in first.examples] == ["same", "SAME"]
    assert ("one test", "two train", 2, 1) in found.tables[1].rows


def test_repeated_rows_of_a_split_are_counted(plant: Any) -> None:
    rows = [("a", "joy"), ("A", "joy"), ("a", "joy"), ("b", "joy")]
    found = report((duplicates, Index(plant({"one": {"train": rows}}))))
    assert found.tables[0].rows == (("one", "train", 4, 2, 2, 1),)
    assert [(f.count, f.severity) for f in of(found, "duplicates")] == [(2, "note")]


def test_tasks_over_the_very_same_rows_are_one_group_and_counted_once(plant: Any) -> None:
    rows = {"train": [("a", "joy"), *own(2, "t")], "test": [("a", "joy"), *own(1, "e")]}
    found = report((duplicates, Index(plant({"one": rows}, twins={"twin": "one"}))))
    assert [(f.about, f.count) for f in of(found, "test-in-train")] == [("one + twin", 1)]


def test_near_repeats_are_found_between_train_and_what_is_scored_and_equal_texts_are_no_near_ones(
    plant: Any,
) -> None:
    train = [
        (f"{LONG} one", "joy"),
        (f"{LONG} three", "joy"),
        ("something quite different stands here", "joy"),
    ]
    test = [
        (f"{LONG} One!", "joy"),
        (f"{LONG} three", "joy"),
        ("nothing of this kind was ever written before", "joy"),
    ]
    index = Index(
        plant({"one": {"train": train, "test": test, "validation": [(f"{LONG} onex", "joy")]}})
    )
    found = report((near, index))
    assert [(f.about, f.count, f.severity) for f in of(found, "near-test-in-train")] == [
        ("one", 1, "warning")
    ]
    assert of(found, "near-test-in-train")[0].examples[0].places == (
        "one test row 1",
        "one train row 1",
    )
    assert [f.count for f in of(found, "near-validation-in-train")] == [1]
    assert {f.count for f in of(found, "near-duplicates")} == {2}


def test_conflicting_labels_are_counted_in_all_splits_and_in_train(plant: Any) -> None:
    train = [("a", "joy"), ("a", "anger"), ("b", "joy"), ("c", "joy"), ("d", None), ("d", "joy")]
    test = [("B", "anger"), ("c", "joy"), ("b", "anger")]
    found = report((conflicts, plant({"one": {"train": train, "test": test}})))
    assert found.tables[0].rows == (("one", 2, 2, 1),)
    (finding,) = of(found, "conflicting-labels")
    assert (finding.severity, finding.count) == ("warning", 2)
    assert finding.examples[0].places == ("train row 1", "train row 2")
    assert finding.examples[0].about == "joy / anger"


def test_a_set_of_labels_conflicts_with_another_and_not_with_itself_in_another_order(
    plant: Any,
) -> None:
    rows = [
        ("a", ["joy", "anger"]),
        ("a", ["anger", "joy"]),
        ("b", ["joy"]),
        ("b", ["joy", "anger"]),
    ]
    found = report((conflicts, plant({"one": {"train": rows}}, head=MultiLabel())))
    assert found.tables[0].rows == (("one", 1, 1, 1),)


def test_numbers_that_differ_conflict_too(plant: Any) -> None:
    groups = plant(
        {"one": {"train": [("a", 1.0), ("a", 2.0), ("b", 3.0), ("b", 3.0)]}},
        labels=None,
        head=Regression(),
    )
    found = report((conflicts, groups), (labels, groups))
    assert found.tables[0].rows == (("one", 1, 1, 1),)
    assert of(found, "conflicting-labels")[0].examples[0].about == "value 1 / value 2"
    assert found.tables[1].rows == (("value", "train", 4, 2.25, pytest.approx(0.829156), 1.0, 3.0),)


def test_rare_untrained_and_unbalanced_labels_are_named(plant: Any) -> None:
    many = [(f"t {i}", "joy") for i in range(25 * 4)]
    train = [*many, *((f"r {i}", "anger") for i in range(4))]
    test = [
        *((f"e {i}", "joy") for i in range(RARE_SCORED)),
        *((f"f {i}", "fear") for i in range(3)),
    ]
    groups = plant({"one": {"train": train, "test": test}}, labels=("joy", "anger", "fear", "love"))
    found = report((labels, groups))
    said = [f.text for f in of(found, "rare-labels")]
    assert said == [
        f"train has fewer than {RARE_TRAIN} rows of 1 label(s): anger 4",
        f"test has fewer than {RARE_SCORED} rows of 1 label(s): fear 3",
    ]
    assert [f.text for f in of(found, "untrained-labels")] == [
        "scored, and in no training row: fear"
    ]
    assert [f.text for f in of(found, "imbalance")] == [
        "in train joy is 25 times as common as anger"
    ]
    assert found.tables[0].rows[0] == ("joy", 100, 30, "96.2%", "90.9%")


def test_lengths_and_odd_texts(plant: Any) -> None:
    rows = [
        ("one two three", "joy"),
        ("", "joy"),
        ("cafÃ©", "joy"),
        ("café", "joy"),
        ("what\ufffd", "joy"),
    ]
    found = report((lengths, plant({"one": {"train": rows}})))
    assert [(f.count, f.text) for f in of(found, "odd-texts")] == [
        (1, "1 of 5 train texts are empty"),
        (2, "2 of 5 train texts have broken characters"),
    ]
    assert found.tables[0].rows[0][:2] + found.tables[0].rows[0][6:] == (
        "one",
        "train",
        3,
        5,
        5,
        13,
    )


def test_of_a_sensitive_task_rows_are_placed_and_never_shown(plant: Any) -> None:
    secret = "a secret that must not be shown anywhere"
    rows = {
        "train": [(secret, "joy"), (secret, "anger"), (secret + "\ufffd", "joy")],
        "test": [(secret + " at all", "joy")],
    }
    other = {"train": [(secret, "joy")], "test": [(secret, "joy"), ("open", "joy")]}
    groups = plant({"private": rows, "open": other}, sensitive={"private"})
    index = Index(groups)
    found = report((duplicates, index), (near, index), (conflicts, groups), (lengths, groups))
    assert of(found, "test-in-train")
    assert of(found, "near-test-in-train")
    shown = [
        example for one in found.findings if "private" in one.about for example in one.examples
    ]
    assert shown
    assert all(example.text is None and example.places for example in shown)
    assert "secret" not in str(found.as_json())
