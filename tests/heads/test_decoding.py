"""Labels to targets and probabilities to answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emomtl import EmomtlError, MultiLabel, Regression, SingleLabel, Taxonomy
from emomtl.testing import check_head

TAXONOMY = Taxonomy(["anger", "fear", "joy"])


@pytest.mark.parametrize("head", [MultiLabel(), SingleLabel(), Regression(("v", "a"), low=1, high=5)])
def test_our_heads_pass_the_check_for_heads(head: Any) -> None:
    check_head(head, None if head.kind == "regression" else TAXONOMY)


@pytest.mark.parametrize(
    ("label", "target"),
    [("joy", [0, 0, 1]), (["joy", "anger"], [1, 0, 1]), ([], [0, 0, 0]), ({"joy": 0.4, "fear": None}, [np.nan, np.nan, 0.4])],
)
def test_multi_labels_are_one_name_several_none_or_soft_values(label: Any, target: list[float]) -> None:
    np.testing.assert_allclose(MultiLabel().encode(label, TAXONOMY), np.array(target, np.float32))


@pytest.mark.parametrize("label", ["joyy", ["joy", "angst"], {"joy": 1.5}, {"hope": 1.0}])
def test_a_label_outside_the_taxonomy_or_the_range_is_refused(label: Any) -> None:
    with pytest.raises(EmomtlError):
        MultiLabel().encode(label, TAXONOMY)


@pytest.mark.parametrize("label", [["joy", "fear"], [], 3, {"joy": 1.0}])
def test_a_single_label_head_takes_one_name(label: Any) -> None:
    with pytest.raises(EmomtlError, match=r"not one name|unknown label|are a soft label"):
        SingleLabel().encode(label, TAXONOMY)


def test_answers_are_the_labels_above_the_threshold_best_first_or_the_most_probable() -> None:
    probabilities = np.array([[0.2, 0.9, 0.4], [0.1, 0.0, 0.2]])
    assert MultiLabel(threshold=0.4).decode(probabilities, TAXONOMY.names) == [[("fear", 0.9), ("joy", 0.4)], []]
    assert SingleLabel().decode(probabilities, TAXONOMY.names) == [[("fear", 0.9)], [("joy", 0.2)]]
    assert Regression(("v", "a")).decode(probabilities[:, :2], ("v", "a"))[0] == [("v", 0.2), ("a", 0.9)]


def test_a_regression_refuses_what_lies_outside_its_bounds_and_starts_in_their_middle() -> None:
    head = Regression(low=1.0, high=5.0)
    assert head.encode("3.5", None).tolist() == [3.5]
    assert np.isnan(head.encode("", None)).all()
    with pytest.raises(EmomtlError, match=r"5\.5, outside 1\.0\.\.5\.0"):
        head.encode(5.5, None)
    module: Any = head.build(4, None)
    assert module[1].bias.tolist() == [3.0]
