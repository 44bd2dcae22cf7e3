"""Kept answers come back as they were; what is damaged or missing is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl.errors import EmomtlError
from emomtl.run import Run
from emomtl.run.predictions import load_predictions, predictions_path, save_predictions


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    shutil.copytree(trained.folder, tmp_path / "run", symlinks=True)
    return Run.open(tmp_path / "run")


def test_answers_come_back_and_two_evaluations_do_not_overwrite_each_other(run: Run) -> None:
    first: Any = {"mood": (np.array([0, 1]), np.array([[0.25, 0.75], [0.5, 0.5]]))}
    second: Any = {"topics": (np.array([[1.0, np.nan]], np.float32), np.array([[0.1, 0.9]]))}
    digests = [
        save_predictions(run, "test", "step-00000001", answers) for answers in (first, second)
    ]
    for answers, digest in zip((first, second), digests, strict=True):
        for task, (targets, probabilities) in load_predictions(
            run, "test", "step-00000001", digest
        ).items():
            assert np.array_equal(targets, answers[task][0], equal_nan=targets.dtype.kind == "f")
            assert np.allclose(probabilities, answers[task][1])


def test_a_probability_below_a_threshold_stays_below_it(run: Run) -> None:
    below = np.array([[0.4999999975, 0.5]])
    digest = save_predictions(
        run, "test", "step-00000001", {"topics": (np.array([[0.0, 1.0]], np.float32), below)}
    )
    _, kept = load_predictions(run, "test", "step-00000001", digest)["topics"]
    assert (kept >= 0.5).tolist() == [[False, True]]
    assert np.array_equal(kept, below)


def test_a_flipped_byte_and_a_missing_file_are_refused(run: Run) -> None:
    digest = save_predictions(
        run, "test", "step-00000001", {"mood": (np.array([0]), np.array([[0.2, 0.8]]))}
    )
    path = predictions_path(run, "test", "step-00000001", digest)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(EmomtlError, match="not what was written"):
        load_predictions(run, "test", "step-00000001", digest)
    path.unlink()
    with pytest.raises(EmomtlError, match="missing"):
        load_predictions(run, "test", "step-00000001", digest)


def test_eval_keeps_answers_that_give_its_own_figures(run: Run, cli: Any, desk: Any) -> None:
    from emomtl import MultiLabel, SingleLabel

    assert cli("eval", run.folder, "--split", "test").code == 0
    entry = run.scores()[-1]
    kept = load_predictions(run, "test", entry["checkpoint"], entry["answers"])
    for task, head in (("mood", SingleLabel()), ("topics", MultiLabel())):
        assert head.metrics(*kept[task])["macro_f1"] == pytest.approx(
            entry["tasks"][task]["metrics"]["macro_f1"], abs=1e-6
        )
    assert cli("eval", run.folder, "--split", "test", "--no-answers").code == 0
    assert "answers" not in run.scores()[-1]
