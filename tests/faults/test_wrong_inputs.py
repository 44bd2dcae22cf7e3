"""What a user can do wrong: exit code 1, one clear message with place, finding and remedy, and nothing changed on disk."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Every file with its content and every link with its target."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


class Refusing:
    """Runs commands that have to be refused, and looks that nothing changed."""

    def __init__(self, cli: Any, folder: Path) -> None:
        self.cli, self.folder = cli, folder

    def __call__(self, *arguments: object, problems: int = 1) -> str:
        """The message of a refused command; `problems` is how many it lists."""
        before = snapshot(self.folder)
        said = self.cli(*arguments)
        assert said.code == 1, said.err
        assert said.out == ""
        assert snapshot(self.folder) == before
        assert "Traceback" not in said.err
        lines = [line for line in said.err.splitlines() if not line.endswith(" ...") and not line.startswith("note: ")]
        assert len(lines) == (1 if problems == 1 else problems + 1), said.err
        assert all(len(line) < 900 for line in lines)
        return str(said.err)


@pytest.fixture
def refused(cli: Any, desk: Any) -> Refusing:
    return Refusing(cli, desk.folder)


@pytest.fixture
def finished(trained: Any, tmp_path: Path, cli: Any) -> tuple[Path, Refusing]:
    """A copy of a finished run, and what looks at it."""
    shutil.copytree(trained.folder, tmp_path / "finished", symlinks=True)
    return tmp_path / "finished", Refusing(cli, tmp_path / "finished")


# -- accepted -----------------------------------------------------------------------------------------------------------

ODD = ["NA", "null", "None", "nan", "N/A", "[/foo]", "[bold red]", "'quoted", '"', "=1+1", "\\", "a,b", "😀"]


def test_odd_texts_are_trained_on_predicted_and_printed_unchanged(desk: Any, cli: Any) -> None:
    import csv

    with (desk.folder / "mood.csv").open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([text, "joy", part] for text in ODD for part in ("train", "validation"))
    manifest = desk.manifest(train={"steps": 4}, tasks={"topics": None}, weighting={"use": "equal"})
    session = desk.begin(manifest, "looked-at")
    session.run.close()
    assert list(session.data.corpora[0].splits["train"].texts)[-len(ODD) :] == ODD
    assert cli("train", manifest, "--out", desk.folder / "run").code == 0
    said = cli("predict", desk.folder / "run", "--", *ODD)
    assert said.code == 0, said.err
    assert [line.rstrip() for line in said.out.splitlines() if not line.startswith("  ")] == ODD


def test_lone_surrogates_empty_texts_and_a_text_of_ten_megabytes_are_accepted_and_counted(desk: Any, cli: Any) -> None:
    rows = [
        {"text": f"happy {i}", "label": "joy" if i % 2 else "anger", "part": ["train", "validation"][i % 3 == 0]}
        for i in range(40)
    ]
    odd = ["cut \ud83d", "\udc00", "", "   ", "sad words " * 1_000_000]
    rows += [{"text": text, "label": "joy", "part": "train"} for text in odd]
    (desk.folder / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"use": "table", "source": "odd.jsonl", "options": {"split": "part", "test": 0.0}}
    manifest = desk.manifest(tasks={"odd": task, "mood": None, "topics": None}, train={"steps": 2}, weighting={"use": "equal"})
    began = time.monotonic()
    said = cli("train", manifest, "--out", desk.folder / "run")
    assert said.code == 0, said.err
    assert time.monotonic() - began < 20
    assert "note: odd: 2 texts with lone surrogates (replaced), 2 empty texts" in said.err
    assert "note: odd: 1 train text(s) were so long that they were cut before tokenising" in said.err
    began = time.monotonic()
    assert cli("predict", desk.folder / "run", "cut \ud83d", odd[-1]).code == 0
    assert time.monotonic() - began < 10


# -- manifests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "name"),
        (b"\x00\xff\xfe\x89PNG" * 50, "wrong.toml"),
        (b"a = [" * 50_000, "wrong.toml"),
        (b"# " + b"x" * 10_000_000 + b"\nname = 3\n", "wrong.toml"),
        (b"name = " + b'"' + b"x" * 10_000_000 + b'"\n', "wrong.toml"),
        (b"name = 'a'\nname = 'b'\n", "wrong.toml"),
    ],
    ids=["empty", "binary", "nested", "ten megabytes of comment", "ten megabytes of name", "a key twice"],
)
@pytest.mark.parametrize("command", ["check", "train"])
def test_what_is_no_manifest_is_refused_quickly(desk: Any, cli: Any, content: bytes, said: str, command: str) -> None:
    (desk.folder / "wrong.toml").write_bytes(content)
    before, began = snapshot(desk.folder), time.monotonic()
    found = cli(command, desk.folder / "wrong.toml")
    assert time.monotonic() - began < 5
    assert (found.code, found.out) == (1, "")
    assert said in found.err
    assert len(found.err) < 2500
    assert snapshot(desk.folder) == before


def test_a_manifest_that_is_not_there_or_a_folder_is_refused(refused: Refusing, desk: Any) -> None:
    assert "gone.toml" in refused("train", desk.folder / "gone.toml")
    assert str(desk.folder) in refused("train", desk.folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": {"use": "minilmm"}}, "encoder 'minilmm' is not installed (did you mean 'minilm'?)"),
        ({"tasks": {"mod": {}}}, "task 'mod' is not installed"),
        ({"tasks": {"mine": {"use": "tabel"}}}, "task 'tabel' is not installed (did you mean 'table'?)"),
        ({"sampler": {"use": "anneald"}}, "sampler 'anneald' is not installed (did you mean 'annealed'?)"),
        ({"weighting": {"use": "uncertinty"}}, "weighting 'uncertinty' is not installed (did you mean 'uncertainty'?)"),
        ({"eval": {"select": "mood/macro_f11"}}, "task 'mood' has no figure 'macro_f11' (did you mean 'macro_f1'?)"),
        ({"plugins": ["./gone.py"]}, "gone.py is not a file (a plugin file is named relative to the manifest)"),
        ({"plugins": ["emomtl-gone"]}, "no installed distribution 'emomtl-gone' has emomtl plugins"),
    ],
)
def test_an_unknown_name_is_refused_with_its_line_and_the_nearest(
    refused: Refusing, desk: Any, changes: dict[str, Any], said: str
) -> None:
    message = refused("train", desk.manifest(**changes), "--out", desk.folder / "run")
    assert said in message
    assert "small.toml:" in message


# -- rows ---------------------------------------------------------------------------------------------------------------


def wrong_rows(desk: Any, content: bytes, name: str = "wrong.csv", **table: Any) -> Path:
    """A manifest whose task `wrong` reads this content."""
    (desk.folder / name).write_bytes(content)
    task = {"use": "table", "source": name, **table}
    manifest: Path = desk.manifest(tasks={"wrong": task, "mood": None, "topics": None}, weighting={"use": "equal"})
    return manifest


GOOD = b"".join(b"text %d,%s\n" % (i, b"joy" if i % 2 else b"anger") for i in range(40))


@pytest.mark.parametrize(
    ("content", "name", "place"),
    [
        (b"text,label\n" + GOOD + b"nul \x00 here,joy\n", "wrong.csv", ":42:"),
        (b"text\tlabel\n" + GOOD.replace(b",", b"\t") + b'"open\tjoy\n', "wrong.tsv", ":42:"),
        (b"text,label\n" + GOOD + b"caf\xe9,joy\n", "wrong.csv", "not utf-8: byte e9 at offset 524"),
        (b"text,label\n" + b"one,two,joy\n" + GOOD, "wrong.csv", ":2:"),
        (b'{"text": "a", "label": "joy"}\n{"text": \n', "wrong.jsonl", ":2:"),
    ],
    ids=["NUL", "unbalanced quotes", "not UTF-8", "a field too many", "cut JSON"],
)
def test_a_file_that_does_not_read_is_named_with_its_line(
    refused: Refusing, desk: Any, content: bytes, name: str, place: str
) -> None:
    located = b"\xe9" in content  # what is seen before any row is read comes with the layouts that were tried
    message = refused("train", wrong_rows(desk, content, name), "--out", desk.folder / "run", problems=2 if located else 1)
    assert name in message
    assert place in message


def test_labels_outside_the_taxonomy_are_named_with_line_and_the_nearest(refused: Refusing, desk: Any) -> None:
    content = b"text,label\n" + GOOD + b"odd one,joyy\n"
    options = {"labels": ["joy", "anger"], "validation": 0.2, "test": 0.2}
    message = refused("train", wrong_rows(desk, content, options=options), "--out", desk.folder / "run")
    assert "wrong.csv:42" in message
    assert "unknown label 'joyy' (did you mean 'joy'?)" in message


@pytest.mark.parametrize("value", ["nan", "inf", "high"])
def test_a_regression_target_that_is_no_finite_number_is_refused(refused: Refusing, desk: Any, value: str) -> None:
    content = b"text,score\n" + b"".join(b"text %d,%d.5\n" % (i, i) for i in range(40)) + f"odd one,{value}\n".encode()
    manifest = wrong_rows(desk, content, options={"label": "score"}, head={"use": "regression"})
    message = refused("train", manifest, "--out", desk.folder / "run")
    assert "wrong.csv:42" in message
    assert "not a finite number (leave it empty where it is unknown)" in message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("folder.csv", "the folder 'folder.csv' fits no layout of this task"),
        ("gone.csv", "'gone.csv' is missing"),
        ("empty.csv", "the file is empty"),
        ("header.csv", "tasks.mood: no training rows"),
    ],
)
def test_a_source_that_holds_no_rows_is_refused(refused: Refusing, desk: Any, source: str, said: str) -> None:
    (desk.folder / "folder.csv").mkdir()
    (desk.folder / "empty.csv").touch()
    (desk.folder / "header.csv").write_text("text,label,part\n")
    manifest = desk.manifest(tasks={"mood": {"source": source}})
    problems = 2 if source in ("folder.csv", "empty.csv") else 1
    assert said in refused("train", manifest, "--out", desk.folder / "run", problems=problems)


def test_a_task_without_validation_rows_is_refused_before_a_folder_is_made(refused: Refusing, desk: Any) -> None:
    content = "".join(line for line in (desk.folder / "mood.csv").read_text().splitlines(True) if "validation" not in line)
    (desk.folder / "mood.csv").write_text(content)
    message = refused("train", desk.manifest(tasks={"mood": {"options": {"validation": 0.0}}}), "--out", desk.folder / "run")
    assert "tasks.mood: no validation rows" in message


READER = """
from emomtl import Example, Files, SingleLabel, Task, Taxonomy, hookimpl

def read(row):
    if row["text"].endswith(" 15"):
        raise ValueError("cannot read this one")
    return Example(row["text"], row["label"])

@hookimpl
def emomtl_tasks():
    files = Files("*", split_column="part")
    return [Task("mine", files, read, Taxonomy(["joy", "anger", "sadness"]), head=SingleLabel())]
"""


def test_a_plugin_whose_read_raises_is_named_with_the_row(refused: Refusing, desk: Any) -> None:
    (desk.folder / "mine.py").write_text(READER)
    tasks = {"mine": {"source": "mood.csv"}, "mood": None, "topics": None}
    message = refused("train", desk.manifest(plugins=["./mine.py"], tasks=tasks), "--out", desk.folder / "run")
    assert "mood.csv:17: mine: train row 17: `read` raised ValueError: cannot read this one" in message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no luck')", "does not import: RuntimeError: no luck"),
        ("from emomtl import hookimpl\n@hookimpl\ndef emomtl_smaplers(): return {}\n", "unknown hook 'emomtl_smaplers'"),
        ("this is no Python", "does not import: SyntaxError"),
    ],
)
def test_a_plugin_file_that_is_broken_is_named(refused: Refusing, desk: Any, source: str, said: str) -> None:
    (desk.folder / "mine.py").write_text(source)
    message = refused("train", desk.manifest(plugins=["./mine.py"]), "--out", desk.folder / "run")
    assert said in message
    assert "mine.py" in message


# -- runs ---------------------------------------------------------------------------------------------------------------


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "file", ["model.safetensors", "optimizer.safetensors", "weighting.safetensors", "state.json", "sha256.txt"]
)
def test_one_flipped_byte_in_a_checkpoint_is_found_by_eval_predict_and_resume(
    trained: Any, finished: tuple[Path, Refusing], file: str
) -> None:
    folder, refused = finished
    flip((folder / "checkpoints" / "last").resolve() / file)
    for arguments in (["eval", folder, "--checkpoint", "last"], ["predict", folder, "happy", "--checkpoint", "last"]):
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


def test_a_finished_run_is_not_trained_over_and_neither_is_a_folder_with_other_things(refused: Refusing, desk: Any) -> None:
    manifest = desk.manifest(train={"steps": 1})
    desk.train(manifest)
    refused.folder = desk.folder / "run" / "checkpoints"
    assert "holds a run already (go on with it by --resume" in refused("train", manifest, "--out", desk.folder / "run")
    refused.folder = desk.folder
    assert "not empty and not a run" in refused("train", manifest, "--out", desk.folder)
    (desk.folder / "file").touch()
    assert "a file, not a folder" in refused("train", manifest, "--out", desk.folder / "file")


def test_two_runs_into_one_folder_are_refused_and_the_first_goes_on(refused: Refusing, desk: Any, contents: Any) -> None:
    manifest = desk.manifest(train={"steps": 2})
    session = desk.begin(manifest)
    assert "in use by process" in refused("train", manifest, "--out", desk.folder / "run")
    assert "in use by process" in refused("train", manifest, "--out", desk.folder / "run", "--resume")
    from emomtl.train import train

    train(session)
    assert contents(session.run)["state"]["finished"]


def interrupted(desk: Any, manifest: Path) -> Path:
    """A run that was stopped after three of its steps."""
    desk.train(manifest, "run", overrides=["train.steps=3"])
    folder: Path = desk.folder / "run"
    text = (folder / "manifest.toml").read_text()
    assert "steps = 3" in text
    return folder


def test_a_resume_with_another_manifest_is_refused_by_key_and_allowed_by_key(refused: Refusing, cli: Any, desk: Any) -> None:
    manifest = desk.manifest(train={"steps": 3})
    folder = interrupted(desk, manifest)
    refused.folder = folder / "checkpoints"
    changes = ["--set", "train.lr=2e-3", "--set", "train.clip=0.5"]
    message = refused("train", manifest, "--out", folder, "--resume", *changes, problems=2)
    assert "train.lr: was 0.001, is 0.002 (undo it, or `--allow-changed train.lr`)" in message
    assert "train.clip" in message
    assert "train.clip" in refused("train", manifest, "--out", folder, "--resume", *changes, "--allow-changed", "train.lr")
    assert cli("train", manifest, "--out", folder, "--resume", *changes, "--allow-changed", "train").code == 0


def test_a_resume_with_another_corpus_is_refused_and_can_be_allowed(refused: Refusing, cli: Any, desk: Any) -> None:
    manifest = desk.manifest(train={"steps": 3})
    folder = interrupted(desk, manifest)
    with (desk.folder / "mood.csv").open("a") as file:
        file.write("one more,joy,train\n")
    refused.folder = folder / "checkpoints"
    message = refused("train", manifest, "--out", folder, "--resume")
    assert "data.mood: the corpus has changed since the run began (undo it, or `--allow-changed data.mood`)" in message
    assert cli("train", manifest, "--out", folder, "--resume", "--allow-changed", "data.mood").code == 0


def test_a_resume_with_another_plugin_file_is_refused_and_can_be_allowed(refused: Refusing, cli: Any, desk: Any) -> None:
    source = "from emomtl import hookimpl\n@hookimpl\ndef emomtl_started(run):\n    pass\n"
    (desk.folder / "mine.py").write_text(source)
    manifest = desk.manifest(plugins=["./mine.py"], train={"steps": 3})
    folder = interrupted(desk, manifest)
    (desk.folder / "mine.py").write_text(source + "CHANGED = True\n")
    refused.folder = folder / "checkpoints"
    message = refused("train", manifest, "--out", folder, "--resume")
    assert "plugins.mine.py: its code has changed since the run began" in message
    assert cli("train", manifest, "--out", folder, "--resume", "--allow-changed", "plugins.mine.py").code == 0


def test_a_loss_that_is_not_finite_ends_the_command_with_one_message(cli: Any, desk: Any) -> None:
    said = cli("train", desk.manifest(train={"lr": 1e30, "clip": 0.0, "warmup": 0.0}), "--out", desk.folder / "run")
    assert said.code == 1
    (message,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert "is not finite at step" in message
    assert "the last checkpoint is good" in message
