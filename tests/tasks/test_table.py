"""The task family `table`: how columns and label cells of one's own file are read."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from emomtl import (
    AmbiguousLabel,
    EmomtlError,
    Example,
    Files,
    Head,
    MultiLabel,
    Regression,
    SingleLabel,
    Taxonomy,
)
from emomtl_tasks.table import Table


def read(row: dict[str, Any], head: Head | None = None, **options: Any) -> Example:
    """A row as a table with these options reads it for a head, single-label by default."""
    task, _ = Table(**options).bound(head or SingleLabel(), asked=True)
    (example,) = task.examples(row)
    return example


def label_of(cell: Any, head: Head | None = None, **options: Any) -> Any:
    """What a label cell reads as."""
    return read({"text": "hello", "label": cell}, head, **options).label


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        ("joy", "joy"),
        (" joy ", "joy"),
        ("joy|fear", ["joy", "fear"]),
        ("joy | fear|", ["joy", "fear"]),
        ("", None),
        ("  ", None),
        (None, None),
        (["joy", "fear"], ["joy", "fear"]),
        (["a|b", " c "], ["a|b", "c"]),
        ([], []),
        ({"joy": 0.25, "fear": None}, {"joy": 0.25, "fear": None}),
        (True, "true"),
        ("[]", []),
        ("|", None),
        (float("nan"), None),
    ],
)
def test_a_label_cell_is_one_name_several_names_or_nothing(cell: Any, label: Any) -> None:
    assert label_of(cell, MultiLabel()) == label


@pytest.mark.parametrize("cell", [3, 3.0, "3", "3.0", " 3 "])
def test_a_number_is_one_value_however_a_file_writes_it(cell: Any) -> None:
    assert label_of(cell) == "3"
    assert (
        label_of(cell, labels=("joy", "fear", "anger", "sadness"), label_format="indices")
        == "sadness"
    )
    assert label_of(cell, labels=("1", "3"), label_format="names") == "3"
    assert label_of(cell, label_names={"3": "joy"}) == "joy"
    assert label_of(cell, missing=(3,)) is None
    assert label_of(cell, missing=("3",)) is None


def test_a_code_with_a_leading_zero_is_no_number() -> None:
    assert label_of("03") == "03"


def test_a_fraction_that_is_a_number_for_a_regression_stays_one() -> None:
    assert label_of(2.5, Regression()) == 2.5
    assert label_of([0.5, 2.5], Regression(("a", "b"))) == [0.5, 2.5]
    assert label_of(-99, Regression(), missing=(-99,)) is None


@pytest.mark.parametrize(
    ("cell", "options", "readings", "key"),
    [
        (
            1,
            {"labels": ("negative", "positive")},
            "position in `options.labels`, or a code",
            "label_names",
        ),
        ("1", {"labels": ("1", "0")}, "a name of `options.labels`, or a position", "label_format"),
        (1, {"labels": ("1", "0")}, "a name of `options.labels`, or a position", "label_format"),
        (
            [1, 2],
            {"labels": ("a", "b", "c")},
            "position in `options.labels`, or a code",
            "label_format",
        ),
        (-1, {}, "a code for no label, or a label", "options.missing"),
        ("-1.0", {}, "a code for no label, or a label", "options.missing"),
        (2.5, {}, "an amount, or the name of a label", "regression"),
        ("nan", {}, "a missing value, or a label of that name", "options.missing"),
        ([1, 1, 0, 0], {}, "one value a label, or names or positions", "multi-hot"),
        ([0, 1], {}, "one value a label, or names or positions", "multi-hot"),
        ([True, False], {}, "one value a label, or names or positions", "multi-hot"),
        ([2, 2, 5], {}, "numbers repeat", "label_format"),
        ([0.25, 0.75], {}, "shares of the labels, or amounts", "distribution"),
        ("1|0|0", {}, "one value a label, or names or positions", "multi-hot"),
        ("['joy']", {}, "looks like a list", "label_format"),
        ("[1, 0, 0]", {}, "looks like a list", "multi-hot"),
        ("[1 0 0]", {}, "looks like a list", "multi-hot"),
        ("1,0,0", {}, "looks like a list", "multi-hot"),
        ("()", {}, "looks like a list", "label_format"),
        ("2,27", {}, "several labels, or one name", "options.separator"),
        ("2 27", {}, "several labels, or one name", "options.separator"),
        ('{"joy": 0.5}', {}, "looks like a list", "distribution"),
    ],
)
def test_an_ambiguous_value_is_refused(
    cell: Any, options: dict[str, Any], readings: str, key: str
) -> None:
    with pytest.raises(AmbiguousLabel) as refused:
        label_of(cell, MultiLabel(), **options)
    (problem,) = refused.value.problems
    assert readings in problem.found
    assert key in problem.remedy


FOUR = ("joy", "fear", "anger", "sadness")


@pytest.mark.parametrize(
    ("cell", "form", "label"),
    [
        ([1, 1, 0, 0], "multi-hot", ["joy", "fear"]),
        ("[1, 1, 0, 0]", "multi-hot", ["joy", "fear"]),
        ("[1 1 0 0]", "multi-hot", ["joy", "fear"]),
        ("1|1|0|0", "multi-hot", ["joy", "fear"]),
        ([True, False, False, False], "multi-hot", ["joy"]),
        ([0, 0, 0, 0], "multi-hot", []),
        ([1, 3], "indices", ["fear", "sadness"]),
        ("[1, 3]", "indices", ["fear", "sadness"]),
        ("1|3", "indices", ["fear", "sadness"]),
        ("1,3", "indices", ["fear", "sadness"]),
        ("['joy', 'very sad']", "names", ["joy", "very sad"]),
        ('["joy"]', "names", ["joy"]),
        ("[very sad, joy]", "names", ["very sad", "joy"]),
        ([0.5, 0.5, 0, 0], "distribution", {"joy": 0.5, "fear": 0.5, "anger": 0.0, "sadness": 0.0}),
        ('{"joy": 0.5, "fear": null}', "distribution", {"joy": 0.5, "fear": None}),
    ],
)
def test_label_format_says_how_a_cell_reads(cell: Any, form: Any, label: Any) -> None:
    assert label_of(cell, MultiLabel(), labels=FOUR, label_format=form) == label


@pytest.mark.parametrize(
    ("cell", "form", "told"),
    [
        ([1, 0], "multi-hot", "a list of 2 for 4 labels"),
        ([1, 0, 2, 0], "multi-hot", "a multi-hot list holds '2'"),
        (4, "indices", "position '4' is outside 0..3"),
        (-1, "indices", "position '-1' is outside 0..3"),
        ({"joy": 10**400}, "distribution", "more than 30 digits"),
        ({"joy": -1}, "distribution", "label 'joy' has the value -1"),
        (10**400, None, "more than 30 digits"),
        (b"joy", None, "the label is bytes, not a name or a number"),
    ],
)
def test_a_cell_that_does_not_fit_the_format_is_refused(cell: Any, form: Any, told: str) -> None:
    with pytest.raises(EmomtlError, match=re.escape(told)):
        label_of(cell, MultiLabel(), labels=FOUR, label_format=form)


def test_labels_that_are_numbers_are_names_where_both_readings_agree() -> None:
    assert label_of(1, labels=("0", "1", "2")) == "1"
    assert label_of(5, labels=("1", "2", "3", "4", "5")) == "5"


def test_values_that_mean_no_label_go_one_way() -> None:
    for cell in (None, "", " ", float("nan"), "NA", -1, "-1"):
        assert label_of(cell, MultiLabel(), missing=("NA", -1)) is None
        assert label_of(cell, MultiLabel(), missing=("NA", -1), empty="none") == []
    with pytest.raises(EmomtlError, match="the label cell is empty"):
        label_of("", empty="error")
    with pytest.raises(EmomtlError, match="'NA', which means no label, stands beside labels"):
        label_of(["joy", "NA"], MultiLabel(), missing=("NA",))


@pytest.mark.parametrize(
    "cell", ["joy\u200b", "\ufeffjoy", "\u00a0joy ", "\u200ejoy\u202c", "joy\u00ad"]
)
def test_a_label_is_trimmed_of_what_cannot_be_seen(cell: str) -> None:
    assert label_of(cell) == "joy"
    assert label_of(f"{cell}|fear", MultiLabel()) == ["joy", "fear"]


def test_a_label_is_composed_and_keeps_joiners_that_mean_something() -> None:
    assert label_of("cafe\u0301") == "caf\u00e9"
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert label_of(family) == family


def test_case_is_folded_where_it_is_asked_for() -> None:
    assert [label_of(cell) for cell in ("Joy", "JOY", "joy")] == ["Joy", "JOY", "joy"]
    assert {label_of(cell, fold_case=True) for cell in ("Joy", "JOY", "joy")} == {"joy"}
    assert {
        label_of(cell, fold_case=True, labels=("Joy", "Fear")) for cell in ("Joy", "JOY", "joy")
    } == {"Joy"}
    assert label_of("HAPPY", fold_case=True, label_names={"happy": "joy"}) == "joy"
    assert label_of("na", fold_case=True, missing=("NA",)) is None


def test_numbers_with_names_for_them_are_codes() -> None:
    names = {"0": "negative", "1": "positive"}
    assert label_of([0, 1], MultiLabel(), label_names=names) == ["negative", "positive"]
    assert label_of("0|1", MultiLabel(), label_names=names) == ["negative", "positive"]
    assert label_of("0,1", MultiLabel(), separator=",", label_names=names) == [
        "negative",
        "positive",
    ]
    assert label_of("2,27", MultiLabel(), separator=",") == ["2", "27"]
    assert label_of("2,27", label_format="names") == "2,27"
    with pytest.raises(AmbiguousLabel, match="zeros and ones"):
        label_of([1, 1], MultiLabel(), label_names=names)


def test_another_separator_leaves_the_bar_alone() -> None:
    assert label_of("a|b;c", MultiLabel(), separator=";") == ["a|b", "c"]


def test_text_and_pair_come_from_the_named_columns() -> None:
    options: dict[str, Any] = {"text": "premise", "pair": "claim", "label": "mood"}
    assert read({"premise": "a", "claim": "b", "mood": "joy"}, **options) == Example(
        "a", "joy", "b"
    )
    assert read({"premise": "a", "claim": None, "mood": "joy"}, **options) == Example(
        "a", "joy", None
    )


def test_several_label_columns_are_dimensions_of_a_regression() -> None:
    head = Regression(("valence", "arousal"))
    options: dict[str, Any] = {"label": ("valence", "arousal")}
    assert Table(**options).task().head == head
    assert read({"text": "hello", "valence": "3.5", "arousal": ""}, head, **options).label == (
        3.5,
        None,
    )
    assert read({"text": "hello", "valence": 2, "arousal": None}, head, **options).label == (
        2.0,
        None,
    )
    with pytest.raises(EmomtlError, match="column 'arousal' holds 'high', not a number"):
        read({"text": "hello", "valence": "3.5", "arousal": "high"}, head, **options)
    with pytest.raises(EmomtlError, match="could be labels or amounts"):
        Table(**options).bound(head, asked=False)


def columns(joy: Any, fear: Any, head: Head | None = None, **options: Any) -> Example:
    """A row with one column for each of two labels."""
    options = {"label_format": "one-hot-columns"} | options
    return read(
        {"text": "hello", "joy": joy, "fear": fear},
        head or MultiLabel(),
        label=("joy", "fear"),
        **options,
    )


def test_columns_one_a_label_are_labels() -> None:
    assert columns(1, 0).label == ["joy"]
    assert columns("1", "0.0").label == ["joy"]
    assert columns(True, True).label == ["joy", "fear"]
    assert columns(0, 0).label == []
    assert columns("", None).label is None
    assert columns(1, "").label == {"joy": 1.0, "fear": None}
    assert columns(0.25, 1).label == {"joy": 0.25, "fear": 1.0}
    assert columns(1, 0, SingleLabel()).label == ["joy"]
    assert columns(1, 0, label_names={"joy": "Joy"}).label == ["Joy"]
    assert columns(2, 1, raters=4).label == {"joy": 0.5, "fear": 0.25}
    task, _ = Table(label=("joy", "fear"), label_format="one-hot-columns").bound(
        MultiLabel(), asked=True
    )
    assert task.taxonomy == Taxonomy(["joy", "fear"])


def test_votes_become_shares_of_one_label() -> None:
    assert columns(3, 1, SingleLabel(), label_format="distribution").label == {
        "joy": 0.75,
        "fear": 0.25,
    }
    assert columns(0.75, 0.25, SingleLabel(), label_format="distribution").label == {
        "joy": 0.75,
        "fear": 0.25,
    }
    with pytest.raises(EmomtlError, match="column 'joy' holds 3, more than one vote"):
        columns(3, 1)
    with pytest.raises(EmomtlError, match="votes or probabilities, and the head takes one label"):
        columns(0.5, 0.5, SingleLabel())


@pytest.mark.parametrize(
    ("how", "head", "label"),
    [
        ("majority", MultiLabel(), ["joy"]),
        ("any", MultiLabel(), ["joy", "fear"]),
        ("mean", MultiLabel(), {"joy": 2 / 3, "fear": 1 / 3, "anger": 0.0, "sadness": 0.0}),
        ("majority", SingleLabel(), "joy"),
        ("mean", SingleLabel(), {"joy": 2 / 3, "fear": 1 / 3, "anger": 0.0, "sadness": 0.0}),
    ],
)
def test_rows_of_one_id_become_one_example(how: Any, head: Head, label: Any) -> None:
    task, bound = Table(id="who", aggregate=how, labels=FOUR).bound(head, asked=True)
    examples = [
        example for mood in ("joy", "fear", "joy", "") for example in task.examples(_row(mood))
    ]
    assert [example.group for example in examples] == ["7"] * 4
    assert task.combine is not None
    assert task.combine(examples) == Example(
        "hello", pytest.approx(label) if isinstance(label, dict) else label
    )
    assert isinstance(bound, SingleLabel) is isinstance(head, SingleLabel)
    if isinstance(bound, SingleLabel):
        assert bound.soft is (how == "mean")


def _row(mood: str) -> dict[str, Any]:
    return {"text": "hello", "label": mood, "who": 7}


def test_people_who_tie_have_no_majority() -> None:
    task, _ = Table(id="who", aggregate="majority").bound(SingleLabel(), asked=True)
    assert task.combine is not None
    tied = task.combine(
        [example for mood in ("joy", "fear") for example in task.examples(_row(mood))]
    )
    assert tied.label is None
    assert "tie" in tied.notes[0]


def test_rows_of_one_id_with_different_texts_are_refused() -> None:
    task, _ = Table(id="who", aggregate="majority").bound(SingleLabel(), asked=True)
    assert task.combine is not None
    with pytest.raises(EmomtlError, match="rows of one id have different texts"):
        task.combine([Example("hello", "joy"), Example("bye", "joy")])


@pytest.mark.parametrize(
    ("options", "head", "told"),
    [
        (
            {"label": ("a", "b"), "label_format": "one-hot-columns"},
            None,
            "could be labels or amounts",
        ),
        ({"label": ("a", "b")}, MultiLabel(), "nothing says what they hold"),
        ({"label_format": "names"}, Regression(), "has no labels"),
        ({"empty": "none"}, Regression(), "means that no label holds"),
        ({"empty": "none"}, SingleLabel(), "exactly one label a text"),
        ({"id": "who", "aggregate": "any"}, SingleLabel(), "gives several labels"),
        ({"id": "who", "aggregate": "mean"}, MultiLabel(), "needs all labels"),
    ],
)
def test_options_that_do_not_fit_the_head_are_refused(
    options: dict[str, Any], head: Head | None, told: str
) -> None:
    with pytest.raises(EmomtlError, match=told):
        Table(**options).bound(head or SingleLabel(), asked=head is not None)


def test_a_missing_column_is_named_with_those_that_the_file_has() -> None:
    with pytest.raises(EmomtlError, match=r"no column 'label' \(columns: text, mood\)"):
        read({"text": "hello", "mood": "joy"})


@pytest.mark.parametrize("cell", [None, 7])
def test_a_text_that_is_none_is_refused(cell: Any) -> None:
    with pytest.raises(EmomtlError, match="column 'text'"):
        read({"text": cell, "label": "joy"})


def test_label_cells_suit_every_kind_of_head() -> None:
    moods = Taxonomy(["fear", "joy"])
    label = label_of("joy")
    assert SingleLabel().encode(label, moods) == 1
    assert MultiLabel().encode(label, moods).tolist() == [0, 1]
    both = label_of("joy|fear", MultiLabel())
    assert MultiLabel().encode(both, moods).tolist() == [1, 1]
    number = label_of("2.5", Regression())
    assert Regression().encode(number, None).tolist() == [2.5]
    numbers = label_of("2.5|4", Regression(("a", "b")))
    assert Regression(("a", "b")).encode(numbers, None).tolist() == [2.5, 4]


def test_a_regression_reads_numbers_as_text() -> None:
    assert np.isnan(Regression().encode("", None)).all()
    for word in ("joy", "nan", "inf"):
        with pytest.raises(EmomtlError, match="not a finite number"):
            Regression().encode(word, None)
    with pytest.raises(EmomtlError, match="does not give 2 number"):
        Regression(("a", "b")).encode("2.5", None)
    with pytest.raises(EmomtlError, match=r"outside 1\.\.5"):
        Regression(low=1, high=5).encode("7", None)


def test_the_options_reach_the_layout_the_taxonomy_and_the_split() -> None:
    family = Table(
        split="part",
        labels=("b", "a"),
        header=False,
        columns=("text", "label", "part"),
        delimiter=";",
        encoding="latin-1",
        validation=0.2,
        test=0.0,
    )
    task = family.task()
    names = ("text", "label", "part")
    layout = Files(
        "*", columns=names, header=False, delimiter=";", encoding="latin-1", split_column="part"
    )
    assert task.layouts == (layout,)
    assert task.taxonomy is not None
    assert task.taxonomy.names == ("b", "a")
    assert task.split is not None
    assert (task.split.validation, task.split.test) == (0.2, 0.0)


def test_a_file_without_a_needed_column_is_refused() -> None:
    (layout,) = Table(text="review", label=("valence", "arousal"), pair="title").task().layouts
    assert isinstance(layout, Files)
    assert layout.columns == {name: name for name in ("review", "valence", "arousal", "title")}


def test_by_default_one_learned_label_is_expected() -> None:
    task = Table().task()
    assert task.taxonomy is None
    assert task.head == SingleLabel()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"header": False}, "`columns` names the columns"),
        ({"columns": ("text", "label")}, "`columns` names the columns"),
        ({"header": False, "columns": ("text", "mood")}, "`columns` has no 'label'"),
        ({"separator": ""}, "`separator` is empty"),
        ({"validation": 0.5, "test": 0.5}, "leave no rows to train on"),
        ({"label": ()}, "`label` is one column"),
        ({"label": ("a", "b"), "labels": ("x", "y")}, "`labels` goes with one column only"),
        (
            {"label": ("a", "b"), "label_format": "multi-hot"},
            'label_format = "multi-hot" reads one',
        ),
        ({"label_format": "one-hot-columns"}, r"needs `label = \[COLUMN"),
        ({"label_format": "indices"}, "needs `labels`"),
        ({"label_format": "multi-hot"}, "needs `labels`"),
        ({"id": "who"}, "`id` and `aggregate` go together"),
        (
            {"labels": ("joy", "fear"), "label_names": {"1": "joi"}},
            "gives 'joi', which is none of the labels",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Table(**options)


def test_a_row_that_its_rater_found_unclear_has_no_label() -> None:
    options: dict[str, Any] = {
        "label": ("joy", "fear"),
        "label_format": "one-hot-columns",
        "unclear": "vague",
    }
    row = {"text": "hello", "joy": 0, "fear": 0}
    for cell in ("True", True, "1", 1):
        example = read({**row, "vague": cell}, MultiLabel(), **options)
        assert example.label is None
        assert "found unclear" in example.notes[0]
    for cell in ("False", False, "0", "", None):
        assert read({**row, "vague": cell}, MultiLabel(), **options) == Example("hello", [])
    with pytest.raises(EmomtlError, match="what is unclear holds 'maybe'"):
        read({**row, "vague": "maybe"}, MultiLabel(), **options)
    assert (
        read({"text": "hello", "label": 2.5, "vague": 1}, Regression(), unclear="vague").label
        is None
    )


def people(head: Head, how: Any, *answers: tuple[int, int, int]) -> Example:
    """What several people make of one item, each with a 0 or 1 for joy, fear and anger."""
    moods = ("joy", "fear", "anger")
    family = Table(
        label=moods, label_format="one-hot-columns", id="item", aggregate=how, rater="who"
    )
    task, _ = family.bound(head, asked=True)
    rows = [
        {"text": "hello", "item": 1, "who": i, **dict(zip(moods, one, strict=True))}
        for i, one in enumerate(answers)
    ]
    examples = [example for row in rows for example in task.examples(row)]
    assert [example.rater for example in examples] == [str(i) for i in range(len(answers))]
    assert task.combine is not None
    return task.combine(examples)


def test_columns_of_several_people_become_sets_or_shares() -> None:
    answers = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 0))
    assert people(MultiLabel(), "mean", *answers).label == {"joy": 0.5, "fear": 0.5, "anger": 0.0}
    half = people(MultiLabel(), "majority", *answers)
    assert half.label == []
    assert "half of the people" in half.notes[0]
    assert people(MultiLabel(), "majority", *answers[:3]).label == ["joy", "fear"]
    assert people(MultiLabel(), "any", *answers).label == ["joy", "fear"]


def test_each_person_has_one_vote() -> None:
    mixed = people(SingleLabel(), "mean", (1, 0, 0), (1, 1, 0), (0, 0, 0))
    assert mixed.label == {"joy": 0.75, "fear": 0.25, "anger": 0.0}
    assert ["none of the labels" in mixed.notes[0], "part of one vote" in mixed.notes[1]] == [
        True,
        True,
    ]
    assert SingleLabel(soft=True).encode(
        mixed.label, Taxonomy(["joy", "fear", "anger"])
    ).tolist() == [0.75, 0.25, 0]
    assert people(SingleLabel(), "majority", (1, 0, 0), (1, 1, 0)).label == "joy"
    unsure = people(SingleLabel(), "majority", (0, "", 0), (0, 0, 1))  # a cell may be empty
    assert unsure.label == "anger"
    assert people(SingleLabel(), "majority", (0, "", 0)).label is None  # see above
    nobody = people(SingleLabel(), "majority", (0, 0, 0))
    assert nobody.label is None
    assert "nobody gave a label" in nobody.notes[1]


def test_a_rater_without_an_item_is_refused() -> None:
    with pytest.raises(ValueError, match="give both"):
        Table(rater="who")


def test_a_column_says_how_many_people_voted_on_a_row() -> None:
    options: dict[str, Any] = {
        "label": ("joy", "fear"),
        "label_format": "one-hot-columns",
        "raters": "people",
    }
    row = {"text": "hello", "joy": 3, "fear": 1}
    assert read({**row, "people": 4}, MultiLabel(), **options).label == {"joy": 0.75, "fear": 0.25}
    assert read({**row, "people": "3.0"}, MultiLabel(), **options).label == {
        "joy": 1.0,
        "fear": pytest.approx(1 / 3),
    }
    for cell in (0, "", "some", -2, 2.5):
        with pytest.raises(EmomtlError, match="not a number of people"):
            read({**row, "people": cell}, MultiLabel(), **options)
