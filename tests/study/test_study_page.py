"""A study's folder opens again by itself, and its page and tables say what came out and what it
rests on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl.contracts.heads import MultiLabel, SingleLabel
from emomtl.metrics.bootstrap import bootstrap_label_f1, sample_rows
from emomtl.metrics.predictions import TaskPredictions, label_indicators
from emomtl.plugins.discovery import Plugins
from emomtl.study import (
    StudyRequest,
    gather,
    plan_study,
    read_study,
    reopen_study,
    study_report,
    study_tables,
)

WriteStudy = Callable[..., Path]


def _done(write_study: WriteStudy, cli: Any, **keys: Any) -> Path:
    path = write_study(**keys)
    said = cli(
        "study", path, "--out", path.parent / "out", "--runs", path.parent / "runs", "--json"
    )
    assert said.code == 0, said.err
    return path.parent


def test_a_study_leaves_a_page_and_opens_again_without_its_file_and_corpora(
    write_study: WriteStudy, cli: Any
) -> None:
    folder = _done(write_study, cli)
    first = (folder / "out" / "page.html").read_text(encoding="utf-8")
    for words in (
        "Study: small",
        "than &#39;alone&#39;",
        "Each row against the reference",
        "F1 of each label on test",
        "Training time",
        "train.lr",
        "Fingerprints of rows",
        "of every seed",
        "in the course of training",
        "Examples that each task was trained on",
    ):
        assert words in first, words
    moved = folder.parent / "moved"
    moved.mkdir()
    for part in ("out", "runs"):
        shutil.move(folder / part, moved / part)
    shutil.rmtree(folder)
    outs = {form: moved / f"made.{form}" for form in ("html", "markdown", "latex", "csv")}
    options = [word for form, out in outs.items() for word in (f"--{form}", out)]
    said = cli("report", moved / "out", *options, "--figures", moved / "figures", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out) == json.loads(
        (moved / "out" / "result.json").read_text(encoding="utf-8")
    )
    assert outs["html"].read_text(encoding="utf-8") == first
    names = {
        f"study-{name}.{form}"
        for name in ("differences", "seeds", "course", "sampling")
        for form in ("png", "svg", "pdf")
    }
    assert {path.name for path in (moved / "figures").iterdir()} == names
    assert "figures/study-differences.png" in outs["markdown"].read_text(encoding="utf-8")
    for form in ("latex", "csv"):
        assert "faster against alone" in outs[form].read_text(encoding="utf-8")


def test_the_page_warns_of_what_failed_of_what_is_pending_and_of_one_seed(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study(
        rows={"alone": {}, "broken": {"train": {"lr": 1e30}}, "later": {"train": {"lr": 3e-3}}},
        seeds=[1],
    )
    plan = plan_study(
        StudyRequest(
            read_study(path), path.parent / "out", path.parent / "runs", Plugins.discover()
        )
    )
    said = cli("study", path, "--out", path.parent / "out", "--runs", path.parent / "runs")
    page = (path.parent / "out" / "page.html").read_text(encoding="utf-8")
    assert said.code == 1
    assert "broken, seed 1 failed" in page
    assert "one seed only" in page
    shutil.rmtree(plan.of("later")[0].folder)
    assert cli("report", path.parent / "out", "--html", path.parent / "out.html").code == 0
    page = (path.parent / "out.html").read_text(encoding="utf-8")
    assert "not all runs are there yet" in page
    assert "later (pending)" in page


def test_a_study_that_has_not_begun_is_a_page_of_what_is_pending(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study()
    assert (
        cli(
            "study", path, "--out", path.parent / "out", "--runs", path.parent / "runs", "--plan"
        ).code
        == 0
    )
    assert cli("report", path.parent / "out", "--html", path.parent / "out.html").code == 0
    assert "untested, as not run yet, for &#39;faster&#39;" in (path.parent / "out.html").read_text(
        encoding="utf-8"
    )
    plan = reopen_study(path.parent / "out", Plugins.discover())
    assert [table.title for table in study_tables(study_report(plan, gather(plan)))] == [
        "small: mood/macro_f1"
    ]


def test_what_is_no_run_and_no_study_is_one_clear_error(
    write_study: WriteStudy, cli: Any, trained: Any, tmp_path: Path
) -> None:
    said = cli("report", tmp_path)
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert "neither a run's folder (no run.json) nor a study's (no study.json)" in said.err
    path = write_study()
    assert cli("study", path, "--out", path.parent / "out", "--plan").code == 0
    assert "reported on by itself" in cli("report", path.parent / "out", trained.folder).err
    assert (
        "a model card is of one run"
        in cli("report", path.parent / "out", "--card", tmp_path / "card.md").err
    )
    for content in (
        "{}",
        '{"format": 1}',
        '{"format": 1, "study": 3, "scale": null, "metric": "x", "runs": []}',
        "[",
    ):
        (path.parent / "out" / "study.json").write_text(content, encoding="utf-8")
        said = cli("report", path.parent / "out")
        assert said.code == 1
        assert "study.json" in said.err
        assert "Traceback" not in said.err


@pytest.mark.parametrize("kind", ["single-label", "multi-label"])
def test_the_f1_of_labels_is_the_heads_own_on_all_rows_and_on_samples(kind: str) -> None:
    draw = np.random.default_rng(3)
    probabilities = draw.random((40, 4)).astype(np.float32)
    head: Any = SingleLabel() if kind == "single-label" else MultiLabel()
    targets: Any = (
        draw.integers(0, 3, 40)
        if kind == "single-label"
        else (draw.random((40, 4)) < 0.3).astype(np.float32)
    )
    samples = sample_rows(40, 5, seed=1)
    indicators = label_indicators(TaskPredictions(targets, probabilities))
    whole, sampled = bootstrap_label_f1(*indicators, 5, seed=1)
    for rows, found in ((np.arange(40), whole), *zip(samples, sampled, strict=True)):
        table = head.table(targets[rows], probabilities[rows], ["a", "b", "c", "d"])
        for row, value in zip(table, found, strict=True):
            if row["f1"] is not None and not np.isnan(value):
                assert value == pytest.approx(row["f1"], abs=1e-6)
