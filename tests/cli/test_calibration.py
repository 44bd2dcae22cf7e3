"""`emomtl analyse calibration` tells of validation, and of test only where it has been scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from emomtl.run import Run


@pytest.fixture
def folder(trained: Run, tmp_path: Path) -> Path:
    shutil.copytree(trained.folder, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


def test_thresholds_and_calibration_need_no_look_at_test(
    folder: Path, cli: Any, tmp_path: Path
) -> None:
    said = cli("analyse", "calibration", folder, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "topics: thresholds" in said.out
    assert "mood: calibration" in said.out
    assert "mood: thresholds" not in said.out
    assert [entry for entry in Run.open(folder).scores() if entry["split"] == "test"] == []
    kept = json.loads((tmp_path / "out" / "calibration.json").read_text(encoding="utf-8"))
    topics = next(task for task in kept["tasks"] if task["task"] == "topics")
    assert set(topics["thresholds"]) == {"0.5", "0.3", "one for all", "one a label"}
    tuned, plain = (
        topics["thresholds"][name]["validation"]["macro_f1"] for name in ("one a label", "0.5")
    )
    assert tuned >= plain
    assert (tmp_path / "out" / "reliability-topics.png").read_bytes()[:4] == b"\x89PNG"
    assert "reliability-mood.png" in (tmp_path / "out" / "calibration.md").read_text(
        encoding="utf-8"
    )


def test_kept_test_predictions_need_no_further_look(folder: Path, cli: Any) -> None:
    assert cli("eval", folder, "--split", "test").code == 0
    looks = len(Run.open(folder).scores())
    found = [
        json.loads(cli("analyse", "calibration", folder, "--task", "topics", "--json").out)
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert len(Run.open(folder).scores()) == looks
    task = found[0]["tasks"][0]
    assert task["thresholds"]["one a label"]["test"]["macro_f1"] is not None
    assert set(task["calibration"]) == {
        f"{s}/{x}" for s in ("as trained", "temperature", "vector") for x in ("validation", "test")
    }
