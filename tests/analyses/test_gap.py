"""`emomtl analyse gap`: what a run learned by heart shows as a gap, and validation is what was
scored.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl.analyses.gap import GapAnalysis
from emomtl.analyses.runs import RunFolders
from emomtl.inference.opened import open_run
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bootstrap itself is tested elsewhere."""
    monkeypatch.setattr("emomtl.analyses.gap.RESAMPLES", 50)


@pytest.fixture(scope="module")
def by_heart(make_desk: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that learned labels which the texts do not tell."""
    desk = make_desk(tmp_path_factory.mktemp("heart"))
    path = desk.folder / "mood.csv"
    draw = np.random.default_rng(4)
    lines = path.read_text().splitlines()
    rows = [line.rsplit(",", 2) for line in lines[1:]]
    labels = draw.permutation([row[1] for row in rows])
    shuffled = [f"{row[0]},{label},{row[2]}" for row, label in zip(rows, labels, strict=True)]
    path.write_text("\n".join([lines[0], *shuffled]) + "\n")
    rest: dict[str, Any] = {
        "sampler": {"use": "proportional", "per_step": "all"},
        "weighting": {"use": "equal"},
    }
    rest |= {
        "train": {"steps": 120, "lr": 3e-3},
        "eval": {"every": 60},
        "checkpoint": None,
        "encoder": {"dropout": 0.0},
    }
    rest["tasks"] = {"topics": None, "mood": {"limit": 40}}
    run: Run = desk.train(desk.manifest(**rest))
    return run


def test_a_run_that_learned_by_heart_is_better_on_train(by_heart: Run) -> None:
    found = GapAnalysis().run(RunFolders([by_heart.folder])).data
    assert found["rows"]["train"] == found["rows"]["validation"]
    assert found["of"]["train"] == 40
    last = next(one for one in found["runs"] if "last" in one["checkpoint"])
    metrics = last["figures"]
    assert set(metrics) == {"macro_f1", "macro_average_precision", "loss"}
    assert all(metrics[name]["gap"]["low"] > 0 for name in metrics)
    scored = [
        entry
        for entry in by_heart.scores()
        if entry["split"] == "validation" and entry["step"] == last["step"]
    ]
    in_scores = scored[-1]["tasks"]["mood"]["metrics"]["macro_f1"]
    assert metrics["macro_f1"]["validation"]["value"] == pytest.approx(in_scores)
    loss = metrics["loss"]
    assert loss["gap"]["value"] == pytest.approx(
        loss["validation"]["value"] - loss["train"]["value"]
    )


def test_rows_are_those_of_the_manifest(by_heart: Run) -> None:
    data = open_run(by_heart.folder, "last", Plugins.discover()).read_as_trained("mood")
    assert len(data.rows("mood", "train")) == 40


def test_runs_are_compared_with_the_first_and_nothing_is_written_into_them(
    cli: Any, by_heart: Run, trained: Any, tmp_path: Path
) -> None:
    before = by_heart.scores()
    out = tmp_path / "gap"
    said = cli(
        "analyse", "gap", by_heart.folder, by_heart.folder, "--limit", "10", "--out", out, "--json"
    )
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found == json.loads((out / "gap.json").read_text())
    assert found["rows"] == {"train": 10, "validation": 10}
    later = found["runs"][len(found["runs"]) // 2 :]
    assert all(one["figures"]["macro_f1"]["difference"]["value"] == 0.0 for one in later)
    assert "(gap.png)" in (out / "gap.md").read_text()
    assert (out / "gap.png").read_bytes()[:4] == b"\x89PNG"
    assert by_heart.scores() == before
    shown = cli("analyse", "gap", trained.folder, "--task", "topics", "--limit", "8")
    assert shown.code == 0, shown.err
    assert "micro_f1" in shown.out
    other = cli("analyse", "gap", by_heart.folder, trained.folder, "--task", "mood")
    assert other.code == 1
    assert "its texts of 'mood' in validation are not those of" in other.err
