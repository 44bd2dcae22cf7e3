"""Rows of shipped studies can be compared: one form of step, one scale of losses, one metric, rates
tuned for each row.
"""

from __future__ import annotations

from typing import Any

import pytest

from emomtl.cli import shipped as shipped_files
from emomtl.plugins.discovery import Plugins
from emomtl.study import read_study
from emomtl.study.reading import StudyFile

PLUGINS = Plugins.discover()
# the form of a step, scales and rates are what they compare
SCALING = {"loss-scale", "clipping", "weighting-rate"}
STUDIES = sorted(set(PLUGINS.offers("study")) - SCALING)
CASES = [(name, scale) for name in STUDIES for scale in ("laptop", "full")]

SIZES = {
    "goemotions": 43_410,
    "sst2": 67_349,
    "sentiment140": 1_583_691,
    "emobank": 8_062,
    "suicide-depression": 185_000,
}


def shipped(name: str, scale: str) -> StudyFile:
    return read_study(
        PLUGINS.offer("study", name).value, scale, None, shipped_files.shipped(PLUGINS, "manifest")
    )


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_all_rows_have_one_form_of_step_and_one_scale_of_losses(name: str, scale: str) -> None:
    file = shipped(name, scale)
    for part in (file.rows(), file.study.sources):
        manifests = [file.manifest(one) for one in part]
        assert len({one.get("sampler", {}).get("per_step", "all") for one in manifests}) <= 1
        assert len({one["train"].get("loss_scale") for one in manifests}) <= 1
        assert all(
            "weighting" not in one or one["sampler"]["per_step"] == "all" for one in manifests
        )


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_every_row_is_tuned_with_equal_effort_and_has_a_margin(name: str, scale: str) -> None:
    file = shipped(name, scale)
    assert file.rates is not None
    assert len(file.rates.grid) == 3
    assert file.study.margin == 0.01
    assert all(len(file.seeds(row)) >= 3 for row in file.rows())
    if file.study.target == "goemotions" and name != "single-task":
        assert file.study.metric == "macro_f1_tuned"
        assert all(
            file.metric(row) == "macro_f1_tuned"
            for row in file.rows()
            if file.target(row) == "goemotions"
        )


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_annealed_rows_go_by_the_papers_epochs_and_are_whole_passes_long(
    name: str, scale: str
) -> None:
    file = shipped(name, scale)
    for row in file.rows():
        manifest = file.manifest(row)
        if manifest.get("sampler", {}).get("use") != "annealed":
            continue
        assert manifest["sampler"]["by"] == "epoch"
        target = file.target(row)
        size = min(_size(target), manifest["tasks"][target].get("limit", 10**9))
        assert file.scale.updates is not None
        assert file.scale.updates * manifest["train"]["batch_size"] / size >= 0.99


def _size(task: str) -> int:
    return SIZES[next(name for name in SIZES if task.startswith(name))]


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_says_what_work_it_speaks_of(name: str) -> None:
    text: Any = PLUGINS.offer("study", name).value.read_text(encoding="utf-8")
    assert ("slides" in text) == ("BERT Multi-Task Learning for Emotion Classification" in text)
