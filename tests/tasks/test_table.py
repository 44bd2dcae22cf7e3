"""The task family `table`: how columns and label cells of one's own file are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emomtl import EmomtlError, Example, Files, MultiLabel, Regression, SingleLabel, Taxonomy
from emomtl_tasks.table import Table


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
        (2.5, 2.5),
        ([0.5, 2.5], [0.5, 2.5]),
    ],
)
def test_a_label_cell_is_one_name_several_names_numbers_or_nothing(cell: Any, label: Any) -> None:
    assert Table().read({"text": "hello", "label": cell}) == Example("hello", label)


def test_another_separator_leaves_the_bar_alone() -> None:
    assert Table(separator=";").read({"text": "hello", "label": "a|b;c"}).label == ["a|b", "c"]


def test_integers_are_positions_where_labels_are_given_and_else_as_in_a_csv_file() -> None:
    named = Table(labels=("negative", "positive"))
    assert named.read({"text": "hello", "label": 1}).label == "positive"
    assert named.read({"text": "hello", "label": [0, 1]}).label == ["negative", "positive"]
    assert Table().read({"text": "hello", "label": 1}).label == "1"
    assert Table().read({"text": "hello", "label": [0, 1]}).label == ["0", "1"]
    with pytest.raises(EmomtlError, match=r"label number 2 is outside 0\.\.1"):
        named.read({"text": "hello", "label": 2})


def test_the_pair_and_the_text_come_from_the_columns_that_the_options_name() -> None:
    family = Table(text="premise", pair="claim", label="mood")
    assert family.read({"premise": "a", "claim": "b", "mood": "joy"}) == Example("a", "joy", "b")
    assert family.read({"premise": "a", "claim": None, "mood": "joy"}) == Example("a", "joy", None)


def test_several_label_columns_are_the_dimensions_of_a_regression() -> None:
    family = Table(label=("valence", "arousal"))
    assert family.task().head == Regression(("valence", "arousal"))
    assert family.read({"text": "hello", "valence": "3.5", "arousal": ""}) == Example("hello", (3.5, None))
    assert family.read({"text": "hello", "valence": 2, "arousal": None}) == Example("hello", (2.0, None))
    with pytest.raises(EmomtlError, match="column 'arousal' holds 'high', not a number"):
        family.read({"text": "hello", "valence": "3.5", "arousal": "high"})


def test_a_missing_column_is_named_with_those_that_the_file_has() -> None:
    with pytest.raises(EmomtlError, match=r"no column 'label' \(columns: text, mood\)"):
        Table().read({"text": "hello", "mood": "joy"})


@pytest.mark.parametrize("cell", [None, 7])
def test_a_text_that_is_none_is_refused(cell: Any) -> None:
    with pytest.raises(EmomtlError, match="column 'text'"):
        Table().read({"text": cell, "label": "joy"})


def test_label_cells_suit_every_kind_of_head() -> None:
    moods = Taxonomy(["fear", "joy"])
    label = Table().read({"text": "hello", "label": "joy"}).label
    assert SingleLabel().encode(label, moods) == 1
    assert MultiLabel().encode(label, moods).tolist() == [0, 1]
    both = Table().read({"text": "hello", "label": "joy|fear"}).label
    assert MultiLabel().encode(both, moods).tolist() == [1, 1]
    number = Table().read({"text": "hello", "label": "2.5"}).label
    assert Regression().encode(number, None).tolist() == [2.5]
    numbers = Table().read({"text": "hello", "label": "2.5|4"}).label
    assert Regression(("a", "b")).encode(numbers, None).tolist() == [2.5, 4]


def test_a_regression_refuses_text_that_is_no_number_and_takes_empty_text_as_unknown() -> None:
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
    layout = Files("*", columns=names, header=False, delimiter=";", encoding="latin-1", split_column="part")
    assert task.layouts == (layout,)
    assert task.taxonomy is not None
    assert task.taxonomy.names == ("b", "a")
    assert task.split is not None
    assert (task.split.validation, task.split.test) == (0.2, 0.0)


def test_the_layout_names_the_columns_so_that_a_file_without_one_is_refused_at_once() -> None:
    (layout,) = Table(text="review", label=("valence", "arousal"), pair="title").task().layouts
    assert isinstance(layout, Files)
    assert layout.columns == {name: name for name in ("review", "valence", "arousal", "title")}


def test_without_options_the_labels_are_learned_and_one_label_is_expected() -> None:
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
        ({"label": ("a", "b"), "labels": ("x", "y")}, "`labels` goes with names only"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Table(**options)
