"""`init`, `check`, `schema`, `tasks`, `plugins`, `encoders` and usage: fast, without torch, and
nothing is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIGHT = """
import sys
from emomtl.cli import main
from pathlib import Path
for arguments in (["--help"], ["train", "--help"], ["tasks"], ["plugins"], ["encoders"], ["schema"], ["init", "--list"],
                  ["init", "--out", sys.argv[1]]):
    try:
        main(arguments)
    except SystemExit as stopped:
        assert stopped.code == 0, (arguments, stopped.code)
    heavy = {"torch", "transformers", "datasets", "sklearn", "pandas", "matplotlib"} & set(sys.modules)
    assert not heavy, (arguments, heavy)
from emomtl.manifest import read_manifest
read_manifest(Path(sys.argv[1]))
heavy = {"torch", "transformers", "datasets", "sklearn", "pandas", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


def test_what_only_tells_imports_no_torch_transformers_or_datasets(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(tmp_path / "m.toml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_printed(cli: Any) -> None:
    from emomtl import __version__

    assert cli("--version").out.strip() == __version__


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["train"],
        ["train", "m.toml", "--no-such-option"],
        ["eval"],
        ["eval", "runs/a", "--split", "tset"],
        ["eval", "runs/a", "--allow-changed", "all"],
        ["slim", "runs/a", "--weights", "old"],
        ["predict", "runs/a", "--quoting", "odd"],
        ["check", "m.toml", "--set"],
        ["predict"],
        ["new-plugin"],
    ],
)
def test_usage_errors_exit_with_two(cli: Any, arguments: list[str]) -> None:
    said = cli(*arguments)
    assert said.code == 2
    assert "Usage" in said.err + said.out or said.err.startswith("Error: ")


def test_tasks_and_plugins_and_encoders_as_json(cli: Any) -> None:
    tasks = {row["task"]: row for row in json.loads(cli("tasks", "--json").out)}
    assert {"goemotions", "sst2", "table", "emobank"} <= set(tasks)
    assert tasks["goemotions"]["labels"] == 28
    plugins = json.loads(cli("plugins", "--json").out)
    assert {row["state"] for row in plugins if row["distribution"].startswith("emomtl ")} == {
        "imports"
    }
    assert any("sampler annealed" in row["offers"] for row in plugins)
    assert "minilm" in {row["encoder"] for row in json.loads(cli("encoders", "--json").out)}


def test_a_broken_plugin_is_listed_with_its_reason(cli: Any, install: Any) -> None:
    install("emomtl-bad", {"bad_import": "raise RuntimeError('no luck')"}, {"lucky": "bad_import"})
    rows = {row["module"]: row for row in json.loads(cli("plugins", "--json").out)}
    assert rows["bad_import"]["state"] == "RuntimeError: no luck"
    said = cli("tasks")
    assert said.code == 0
    assert "bad_import (emomtl-bad 1.0) does not import: RuntimeError: no luck" in said.err


def test_a_task_card_needs_no_rows(cli: Any, desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.folder)
    assert cli("tasks", "goemotions").code == 0
    shown = cli("tasks", "table", "--source", "mood.csv", "--set", "split=part")
    assert shown.code == 0, shown.err
    assert "anger" in shown.out
    unknown = cli("tasks", "goemotion")
    assert (unknown.code, unknown.out) == (1, "")
    assert "did you mean 'goemotions'" in unknown.err


def test_the_schema_has_the_options_of_installed_plugins(cli: Any) -> None:
    schema = json.loads(cli("schema").out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    text = json.dumps(schema)
    for option in ("per_step", "target_updates", "smoothing", "threshold", "shares"):
        assert f'"{option}"' in text


def test_init_writes_manifest_and_schema_over_no_file(cli: Any, tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    names = [line.split(":")[0] for line in cli("init", "--list").out.splitlines()]
    assert names
    said = cli("init", "--from", names[0], "--out", out)
    assert said.code == 0, said.err
    assert out.read_text().startswith("#:schema ./emomtl.schema.json\n")
    json.loads((tmp_path / "emomtl.schema.json").read_text())
    written = out.read_bytes()
    again = cli("init", "--from", names[0], "--out", out)
    assert again.code == 1
    assert "exists (name another file with --out, or remove it)" in again.err
    assert out.read_bytes() == written
    assert cli("init", "--from", "quikstart", "--out", tmp_path / "x.toml").code == 1
    assert cli("init", "--from", names[0], "--out", tmp_path / "no" / "x.toml").code == 1


def test_check_says_what_a_run_would_do_and_keeps_nothing(cli: Any, desk: Any) -> None:
    before = sorted(desk.folder.iterdir())
    manifest = desk.manifest(
        sampler={"use": "proportional"}, train={"steps": None, "epochs": 2.0, "batch_size": 4}
    )
    said = cli("check", manifest, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert (found["run"], found["steps"], found["epochs"]) == ("small", 42, 2.0)
    assert {task: facts["rows"] for task, facts in found["tasks"].items()} == {
        "mood": 48,
        "topics": 36,
    }
    assert {task: facts["labels"] for task, facts in found["tasks"].items()} == {
        "mood": 3,
        "topics": 4,
    }
    assert sum(facts["share of updates"] for facts in found["tasks"].values()) == pytest.approx(1)
    assert found["tasks"]["mood"]["passes"] == pytest.approx(2, rel=0.01)
    assert found["first_losses"]
    assert sorted(desk.folder.iterdir()) == [*before, manifest] or sorted(
        desk.folder.iterdir()
    ) == sorted([*before, manifest])
    table = cli("check", manifest, "--no-step", "--set", "train.batch_size=6")
    assert table.code == 0
    assert "share of updates" in table.out
    assert "is fine" in table.err


@pytest.mark.parametrize("way", ["one", "all"])
def test_check_foretells_the_updates_that_a_run_then_takes(cli: Any, desk: Any, way: str) -> None:
    manifest = desk.manifest(
        sampler={"per_step": way},
        train={"steps": 60, "batch_size": 2},
        eval={"every": 60},
        checkpoint=None,
    )
    foretold = json.loads(cli("check", manifest, "--json", "--no-step").out)
    run = desk.train(manifest)
    last = [event for event in run.events() if event["event"] == "step"][-1]
    for task, facts in foretold["tasks"].items():
        assert last["updates"][task] == pytest.approx(
            facts["updates"], abs=0 if way == "all" else 12
        )
        assert last["counts"][task] == pytest.approx(facts["examples"], abs=25)


def test_train_prints_results_on_stdout_and_the_rest_on_stderr(cli: Any, desk: Any) -> None:
    manifest = desk.manifest(train={"steps": 4})
    said = cli("train", manifest, "--out", desk.folder / "a", "--json")
    assert said.code == 0
    assert set(json.loads(said.out)["tasks"]) == {"mood", "topics"}
    assert "step 2 (50%" in said.err
    said = cli(
        "train",
        manifest,
        "--out",
        desk.folder / "b",
        "--set",
        "train.steps=2",
        "--set",
        "train.log_every=1",
    )
    assert "validation after 2 steps (finished)" in said.out
    assert "saved in" in said.err


def test_check_estimates_time_and_memory_from_steps_only(cli: Any, desk: Any) -> None:
    manifest = desk.manifest()
    said = cli("check", manifest)
    assert said.code == 0, said.err
    assert "tokens (about)" in said.out
    assert "time: about" in said.err
    assert "calibrated steps" in said.err
    assert "memory: about" in said.err
    found = json.loads(cli("check", manifest, "--json").out)
    assert (
        found["seconds"]["total"] == found["seconds"]["training"] + found["seconds"]["scoring"] > 0
    )
    assert (found["evaluations"], found["calibrated_steps"] >= 4) == (2, True)
    without = cli("check", manifest, "--no-step")
    assert "time:" not in without.err
    assert "memory:" not in without.err
    found = json.loads(cli("check", manifest, "--no-step", "--json").out)
    assert found["tokens"] > 0
    assert {"seconds", "memory_bytes", "parameters", "first_losses"} & set(found) == set()


def test_check_against_warns_of_unequal_updates(cli: Any, desk: Any) -> None:
    several = desk.manifest("several", sampler={"use": "uniform"}, train={"steps": 40})
    alone = desk.manifest("alone", tasks={"topics": None}, train={"steps": 40})
    said = cli("check", alone, "--against", several, "--no-step")
    assert said.code == 0, said.err
    assert "warning: mood gets 40 updates in alone and 20 in several" in said.err
    assert "warning: mood gets 320 examples in alone and 160 in several" in said.err
    assert "`train.target_updates` and `train.target`" in said.err
    found = json.loads(cli("check", alone, "--against", several, "--no-step", "--json").out)[
        "against"
    ]
    assert (found["run"], found["task"], found["updates"], found["examples"]) == (
        "several",
        "mood",
        [40, 20],
        [320, 160],
    )
    assert len(found["warnings"]) == 2


def test_check_against_is_content_with_equal_updates_of_the_target(cli: Any, desk: Any) -> None:
    length = {"steps": None, "target": "mood", "target_updates": 20}
    several = desk.manifest("several", sampler={"use": "uniform"}, train=length)
    alone = desk.manifest("alone", tasks={"topics": None}, train={"steps": 20})
    said = cli("check", several, "--against", alone, "--no-step")
    assert said.code == 0, said.err
    assert "warning" not in said.err
    assert "mood gets as many updates in alone: 20 and 20" in said.err
    assert (
        json.loads(cli("check", several, "--against", alone, "--no-step", "--json").out)["against"][
            "warnings"
        ]
        == []
    )


def test_check_against_a_manifest_without_a_common_task_says_so(cli: Any, desk: Any) -> None:
    one = desk.manifest("one", tasks={"topics": None})
    other = desk.manifest("other", tasks={"mood": None})
    said = cli("check", one, "--against", other, "--no-step")
    assert said.code == 1
    assert (
        "one has mood, and other has topics (compare manifests that have a task in common)"
        in said.err
    )


def test_check_without_a_step_needs_no_encoder(cli: Any, desk: Any) -> None:
    manifest = desk.manifest(encoder={"use": "nobody/no-such-encoder"})
    said = cli("check", manifest, "--no-step", "--json")
    assert said.code == 0, said.err
    assert (
        "note: tokens are not counted: encoder.use: 'nobody/no-such-encoder' does not load"
        in said.err
    )
    found = json.loads(said.out)
    assert found["steps"] == 6
    assert "tokens" not in found
    assert cli("check", manifest).code == 1


def test_a_profile_is_printed_and_kept_in_the_run(cli: Any, desk: Any) -> None:
    said = cli("train", desk.manifest(), "--out", desk.folder / "a", "--profile", "--json")
    assert said.code == 0, said.err
    assert set(json.loads(said.out)["tasks"]) == {"mood", "topics"}
    assert "real tokens/s" in said.err
    assert "overhead:" in said.err
    assert json.loads((desk.folder / "a" / "profile.json").read_text())["steps"] == 6
