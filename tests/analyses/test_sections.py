"""Severity of an answer, and the sections of `emomtl report --full` on small runs: what is in the
page, and what never is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl.analyses.errors.row_severity import label_distances, label_severities, number_severities
from emomtl.contracts.taxonomy import Grouping, Label, Taxonomy

HIERARCHY = Taxonomy(
    ["joy", "love", "pride", "anger", "fear"],
    [
        Grouping("side", {"good": ("joy", "love", "pride"), "bad": ("anger", "fear")}),
        Grouping(
            "kind",
            {"warm": ("joy", "love"), "own": ("pride",), "hot": ("anger",), "cold": ("fear",)},
        ),
    ],
)


def test_a_label_is_as_far_as_the_coarsest_grouping_that_it_leaves() -> None:
    assert label_distances(HIERARCHY)[0] == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert label_distances(Taxonomy(["a", "b"])).tolist() == [[0, 1], [1, 0]]


def test_distance_in_vad_is_half_of_it_where_both_labels_have_a_place() -> None:
    labels = Taxonomy(
        [
            Label("a", vad=(0, 0, 0)),
            Label("b", vad=(1, 0, 0)),
            Label("c", vad=(0.5, 0, 0)),
            Label("d"),
        ]
    )
    assert label_distances(labels)[0] == pytest.approx([0, 1, 0.75, 1])


def test_one_label_a_text_distance_times_what_the_truth_did_not_get() -> None:
    p = np.array([[0.9, 0.1, 0, 0, 0], [0.2, 0.8, 0, 0, 0], [0.2, 0, 0, 0.8, 0]])
    found = label_severities(HIERARCHY, np.array([0, 0, 0]), p, p == p.max(axis=1, keepdims=True))
    assert found.severity == pytest.approx([0, 0.8 / 3, 0.8])
    assert [found.levels[place] if place >= 0 else "" for place in found.left] == ["", "", "side"]


def test_several_labels_count_the_worst_and_what_is_unknown_is_not_wrong() -> None:
    targets = np.array([[1, 0, 0, 0, 0], [1, 0, 0, 0, np.nan], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]])
    p = np.array(
        [[0.9, 0.6, 0, 0, 0.8], [0.9, 0, 0, 0, 0.8], [0.1, 0, 0, 0, 0], [0.1, 0, 0.9, 0, 0]]
    )
    found = label_severities(HIERARCHY, targets, p, p >= 0.5)
    assert found.distance == pytest.approx([1, 0, 1 / 3, 2 / 3])
    assert found.confidence == pytest.approx([1 - np.sqrt(0.4 * 0.2), 0, 0.9, 0.9])


def test_numbers_are_off_by_standard_deviations_of_the_truth() -> None:
    targets = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]])
    found = number_severities(targets, np.array([[1.0, 9.0], [1.0, 5.0], [9.0, 5.0]]))
    assert found == pytest.approx([0, 2, 0])


@pytest.fixture(scope="module")
def pages(make_desk: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str, str]:
    """A desk with a run over hostile texts, and its page without and with --full."""
    desk = make_desk(tmp_path_factory.mktemp("full"))
    name = desk.folder / "mood.csv"
    lines = name.read_text(encoding="utf-8").splitlines()
    hostile = (
        "<script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe \u0007 " + "x" * 5_000
    )
    changed = [
        line.replace(",", f" {hostile},", 1) if place else line for place, line in enumerate(lines)
    ]
    name.write_text("\n".join(changed) + "\n", encoding="utf-8")
    run = desk.train(desk.manifest(train={"steps": 4}, eval={"every": 4}, checkpoint=None))
    return desk, _page(run.folder), _page(run.folder, "--full")


def _page(folder: Path, *options: str) -> str:
    from emomtl.cli import main

    out = folder.parent / "page.html"
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(folder), "--html", str(out), *options])
    assert stopped.value.code == 0
    return out.read_text(encoding="utf-8")


def test_without_full_no_text_is_in_the_page(pages: tuple[Any, str, str]) -> None:
    assert "gnp.exe" not in pages[1]
    assert "Worst errors" not in pages[1]


def test_full_adds_errors_space_and_gradients_and_no_image(pages: tuple[Any, str, str]) -> None:
    page = pages[2]
    assert "Worst errors on validation" in page
    assert "The embedding space of" in page
    assert "Purity of the 10 nearest neighbours" in page
    assert "Gradient conflicts" in page
    assert "share in conflict" in page
    assert "<image" not in page
    assert len(page) < 5_000_000
    assert re.search(r"validation row \d+", page)


def test_a_hostile_text_is_inert_cut_and_behind_a_click(pages: tuple[Any, str, str]) -> None:
    page = pages[2]
    assert page.count("<script") == 1
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\u202e" not in page
    assert "\x07" not in page
    assert "x" * 700 not in page
    assert all(
        "gnp.exe" not in part
        for part in re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL).splitlines()
    )
