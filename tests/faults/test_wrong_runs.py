"""Runs that are damaged, taken, foreign or changed: exit code 1, a clear message, and nothing on
the disk has changed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from emomtl.run import Run

Refusing = Any
"""`Refusing` of conftest.py: runs a command that has to be refused, and gives its message."""


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "file",
    [
        "model.safetensors",
        "optimizer.safetensors",
        "weighting.safetensors",
        "state.json",
        "sha256.txt",
    ],
)
def test_a_flipped_byte_in_a_checkpoint_is_found(
    trained: Any, finished: tuple[Path, Refusing], file: str
) -> None:
    folder, refused = finished
    flip((folder / "checkpoints" / "last").resolve() / file)
    for arguments in (
        ["eval", folder, "--checkpoint", "last"],
        ["predict", folder, "happy", "--checkpoint", "last"],
    ):
        assert file in refused(*arguments)
    manifest = next(trained.folder.parent.glob("*.toml"))
    refused.folder = folder / "checkpoints"
    assert file in refused("train", manifest, "--out", folder, "--resume")


def test_a_run_of_another_version_is_refused(finished: tuple[Path, Refusing]) -> None:
    folder, refused = finished
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(about | {"format": 99, "emomtl": "7.0"}))
    for command in (["eval", folder], ["predict", folder, "happy"]):
        assert "a run of format 99 by emomtl 7.0; this emomtl reads format 1" in refused(*command)


@pytest.mark.parametrize("name", ["manifest.toml", "environment.json", "checkpoints", "encoder"])
def test_a_run_that_lacks_a_part_is_refused(finished: tuple[Path, Refusing], name: str) -> None:
    folder, refused = finished
    if (folder / name).is_dir():
        shutil.rmtree(folder / name)
    else:
        (folder / name).unlink()
    assert refused("eval", folder)


def test_a_folder_that_is_no_run_is_refused(refused: Refusing, desk: Any) -> None:
    for folder in (desk.folder, desk.folder / "gone"):
        assert "no run here" in refused("eval", folder)
        assert "no run here" in refused("predict", folder, "happy")
        assert "no run here" in refused("train", desk.manifest(), "--out", folder, "--resume")


def test_no_folder_is_trained_over(refused: Refusing, desk: Any) -> None:
    manifest = desk.manifest(train={"steps": 1})
    desk.train(manifest)
    refused.folder = desk.folder / "run" / "checkpoints"
    assert "holds a run already (go on with it by --resume" in refused(
        "train", manifest, "--out", desk.folder / "run"
    )
    refused.folder = desk.folder
    assert "not empty and not a run" in refused("train", manifest, "--out", desk.folder)
    (desk.folder / "file").touch()
    assert "a file, not a folder" in refused("train", manifest, "--out", desk.folder / "file")


def test_a_second_run_into_one_folder_is_refused(
    refused: Refusing, desk: Any, contents: Any
) -> None:
    manifest = desk.manifest(train={"steps": 2})
    session = desk.begin(manifest)
    assert "holds a run already" in refused("train", manifest, "--out", desk.folder / "run")
    assert "in use by process" in refused(
        "train", manifest, "--out", desk.folder / "run", "--resume"
    )
    from emomtl.train import train

    train(session)
    assert contents(session.run)["state"]["finished"]


def interrupted(desk: Any, manifest: Path) -> Path:
    """A run that was stopped after two of its steps."""
    with pytest.raises(KeyboardInterrupt):
        desk.train(manifest, "run", plugins=desk.stopping(step=2))
    folder: Path = desk.folder / "run"
    return folder


def test_a_resume_with_another_manifest_is_allowed_by_key(
    refused: Refusing, cli: Any, desk: Any
) -> None:
    manifest = desk.manifest(train={"steps": 3})
    folder = interrupted(desk, manifest)
    refused.folder = folder / "checkpoints"
    changes = ["--set", "train.lr=2e-3", "--set", "train.clip=0.5"]
    message = refused("train", manifest, "--out", folder, "--resume", *changes, problems=2)
    assert "train.lr: was 0.001, is 0.002 (undo it, or `--allow-changed train.lr`)" in message
    assert "train.clip" in message
    assert "train.clip" in refused(
        "train", manifest, "--out", folder, "--resume", *changes, "--allow-changed", "train.lr"
    )
    assert (
        cli(
            "train", manifest, "--out", folder, "--resume", *changes, "--allow-changed", "train"
        ).code
        == 0
    )


def test_a_resume_with_another_corpus_can_be_allowed(
    refused: Refusing, cli: Any, desk: Any
) -> None:
    manifest = desk.manifest(train={"steps": 3})
    folder = interrupted(desk, manifest)
    with (desk.folder / "mood.csv").open("a") as file:
        file.write("one more,joy,train\n")
    refused.folder = folder / "checkpoints"
    message = refused("train", manifest, "--out", folder, "--resume")
    assert (
        "data.mood: the corpus has changed since the run began (undo it, or `--allow-changed"
        " data.mood`)" in message
    )
    assert (
        cli("train", manifest, "--out", folder, "--resume", "--allow-changed", "data.mood").code
        == 0
    )


def test_a_resume_with_another_plugin_file_can_be_allowed(
    refused: Refusing, cli: Any, desk: Any
) -> None:
    source = "from emomtl import hookimpl\n@hookimpl\ndef emomtl_started(run):\n    pass\n"
    (desk.folder / "mine.py").write_text(source)
    manifest = desk.manifest(plugins=["./mine.py"], train={"steps": 3})
    folder = interrupted(desk, manifest)
    (desk.folder / "mine.py").write_text(source + "CHANGED = True\n")
    refused.folder = folder / "checkpoints"
    message = refused("train", manifest, "--out", folder, "--resume")
    assert "plugins.mine.py: its code has changed since the run began" in message
    assert (
        cli(
            "train", manifest, "--out", folder, "--resume", "--allow-changed", "plugins.mine.py"
        ).code
        == 0
    )


def test_a_misspelt_key_is_refused_and_the_option_needs_resume(
    refused: Refusing, desk: Any
) -> None:
    manifest = desk.manifest(train={"steps": 3})
    folder = interrupted(desk, manifest)
    refused.folder = folder / "checkpoints"
    command = ["train", manifest, "--out", folder, "--resume", "--set", "train.lr=2e-3"]
    message = refused(*command, "--allow-changed", "train.lr", "--allow-changed", "train.stepz")
    assert (
        message.splitlines()[-1]
        == "error: --allow-changed: there is no 'train.stepz' here (did you mean 'train.steps'?)"
    )
    for key in ("data.moood", "plugins.mine", "trainlr", "train.", ""):
        message = refused(*command, "--allow-changed", "train.lr", "--allow-changed", key)
        assert "--allow-changed: there is no" in message
    assert "give --resume, too" in refused(
        "train", manifest, "--out", folder, "--allow-changed", "train.lr"
    )


@pytest.mark.parametrize("what", ["train.steps", "data"])
def test_a_finished_run_is_neither_trained_nor_rewritten(
    refused: Refusing, cli: Any, desk: Any, what: str
) -> None:
    manifest = desk.manifest(train={"steps": 2})
    folder = desk.train(manifest).folder
    more = ["--set", "train.steps=9"] if what == "train.steps" else []
    before = (desk.folder / "mood.csv").read_text()
    if what == "data":
        (desk.folder / "mood.csv").write_text(before + "one more,joy,train\n")
    refused.folder = folder
    message = refused(
        "train", manifest, "--out", folder, "--resume", *more, "--allow-changed", what
    )
    assert (
        "the run has finished, at step 2, so nothing would be trained under what changed" in message
    )
    assert "[start]" in message
    (desk.folder / "mood.csv").write_text(before)
    assert cli("train", manifest, "--out", folder, "--resume").code == 0
    assert cli("eval", folder).code == 0


def test_the_record_keeps_what_was_there_before(refused: Refusing, cli: Any, desk: Any) -> None:
    source = "from emomtl import hookimpl\n@hookimpl\ndef emomtl_started(run):\n    pass\n"
    (desk.folder / "mine.py").write_text(source)
    manifest = desk.manifest(plugins=["./mine.py"], train={"steps": 3})
    folder = interrupted(desk, manifest)
    old = Run.open(folder)
    corpus = (desk.folder / "mood.csv").read_text()
    (desk.folder / "mood.csv").write_text(corpus + "one more,joy,train\n")
    (desk.folder / "mine.py").write_text(source + "CHANGED = True\n")
    keys = ["--allow-changed", "train.lr", "--allow-changed", "data", "--allow-changed", "plugins"]
    command = ["train", manifest, "--out", folder, "--resume", "--set", "train.lr=2e-3", *keys]
    session = desk.begin(
        manifest,
        resume=True,
        overrides=["train.lr=2e-3"],
        allow_changed=["train.lr", "data", "plugins"],
    )
    session.run.close()
    unchanged = Run.open(folder)
    assert (unchanged.manifest, unchanged.environment) == (
        old.manifest,
        old.environment,
    ), "no step was trained yet"
    assert (folder / "plugins" / "mine.py").read_text() == source
    said = cli(*command)
    assert said.code == 0, said.err
    assert "note: from step 2 on: train.lr: was 0.001, is 0.002" in said.err
    run = Run.open(folder)
    assert run.manifest.train.lr == 2e-3
    (change,) = run.environment["changes"]
    assert change["step"] == 2
    assert change["manifest"] == {"train.lr": [1e-3, 2e-3]}
    assert change["environment"]["data"] == old.environment["data"] != run.environment["data"]
    assert change["environment"]["plugins"] == old.environment["plugins"]
    assert (folder / "plugins" / "mine.py").read_text() == source + "CHANGED = True\n"
    assert cli("eval", folder, "--trust-plugins").code == 0
    (desk.folder / "mood.csv").write_text(corpus)
    refused.folder = folder / "checkpoints"
    message = refused("eval", folder, "--trust-plugins")
    assert (
        "tasks.mood: the run was trained on this corpus up to step 2, and on another one since"
        in message
    )


def test_a_run_killed_before_copying_a_plugin_still_opens(cli: Any, desk: Any) -> None:
    source = "from emomtl import hookimpl\n@hookimpl\ndef emomtl_started(run):\n    pass\n"
    (desk.folder / "mine.py").write_text(source)
    manifest = desk.manifest(plugins=["./mine.py"], train={"steps": 3})
    folder = interrupted(desk, manifest)
    (desk.folder / "mine.py").write_text(source + "CHANGED = True\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emomtl.train.loop.keep_plugins", lambda plan, run: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            desk.train(manifest, resume=True, allow_changed=["plugins"])
    assert (folder / "plugins" / "mine.py").read_text() == source
    assert cli("eval", folder, "--trust-plugins").code == 0
    assert cli("train", manifest, "--out", folder, "--resume").code == 0


def test_a_moved_project_resumes_with_the_same_rows(refused: Refusing, cli: Any, desk: Any) -> None:
    manifest = desk.manifest(train={"steps": 3})
    text = manifest.read_text().replace('"mood.csv"', f'"{desk.folder}/mood.csv"')
    manifest.write_text(text)
    interrupted(desk, manifest)
    there = desk.folder.with_name("elsewhere")
    desk.folder.rename(there)
    moved = there / manifest.name
    moved.write_text(text.replace(str(desk.folder), str(there)))
    corpus = (there / "mood.csv").read_text()
    (there / "mood.csv").write_text(corpus + "one more,joy,train\n")
    refused.folder = there / "run" / "checkpoints"
    message = refused("train", moved, "--out", there / "run", "--resume", problems=2)
    assert "data.mood: the corpus has changed" in message
    assert "tasks.mood.source: was" in message
    (there / "mood.csv").write_text(corpus)
    said = cli("train", moved, "--out", there / "run", "--resume")
    assert said.code == 0, said.err
    assert "from step 2 on" not in said.err
    assert Run.open(there / "run").manifest.folder == str(there)
    assert cli("eval", there / "run").code == 0


def test_a_loss_that_is_not_finite_is_one_message(cli: Any, desk: Any) -> None:
    said = cli(
        "train",
        desk.manifest(train={"lr": 1e30, "clip": 0.0, "warmup": 0.0}),
        "--out",
        desk.folder / "run",
    )
    assert said.code == 1
    (message,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert "is not finite at step" in message
    assert "the last checkpoint is good" in message


@pytest.mark.parametrize("head", ["regression", "single-label"])
def test_a_model_whose_answers_are_not_finite_is_not_scored(cli: Any, desk: Any, head: str) -> None:
    lines = (
        (desk.folder / "mood.csv")
        .read_text()
        .replace(",joy,", ",1,")
        .replace(",anger,", ",2,")
        .replace(",sadness,", ",3,")
    )
    (desk.folder / "numbers.csv").write_text(lines)
    tasks = {"mood": {"source": "numbers.csv", "head": {"use": head}}, "topics": None}
    diverging = {"steps": 4, "lr": 1e30, "clip": 0.0, "warmup": 0.0, "on_nonfinite": "skip"}
    manifest = desk.manifest(
        tasks=tasks, train=diverging, eval={"every": 1}, weighting={"use": "equal"}
    )
    said = cli("train", manifest, "--out", desk.folder / "run")
    assert said.code == 1
    assert (
        "tasks.mood: the model's answers on validation are not finite (the run has diverged"
        in said.err
    )
