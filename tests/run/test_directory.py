"""A run's folder is made once, opened only where it is whole, and keeps what is written into it
exactly.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emomtl.errors import EmomtlError
from emomtl.manifest.models import Manifest
from emomtl.run import FORMAT, Run


def test_a_run_reads_back_as_it_was_made(run: Run, manifest: Manifest) -> None:
    again = Run.open(run.folder)
    assert again.name == "small"
    assert again.manifest == manifest
    assert again.environment == {"torch": "2", "device": "cpu"}
    about = json.loads((run.folder / "run.json").read_text())
    assert about["format"] == FORMAT
    assert about["name"] == "small"


def test_the_environment_cannot_be_changed_by_a_listener(run: Run) -> None:
    with pytest.raises(TypeError):
        run.environment["device"] = "cuda"  # type: ignore[index]


def test_a_second_run_in_the_same_folder_is_refused_with_the_ways_out(
    run: Run, manifest: Manifest
) -> None:
    run.close()
    with pytest.raises(EmomtlError, match=r"holds a run already \(go on with it by --resume"):
        Run.create(run.folder, manifest, {})
    with Run.open(run.folder, lock=True):
        pass


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "manifest.toml").write_text("mine")
    with pytest.raises(EmomtlError, match=r"not empty and not a run \(it holds manifest\.toml\)"):
        Run.create(tmp_path, manifest, {})
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.toml"]
    with pytest.raises(EmomtlError, match="a file, not a folder"):
        Run.create(tmp_path / "manifest.toml", manifest, {})
    with pytest.raises(EmomtlError, match="file stands where a folder should be"):
        Run.create(tmp_path / "manifest.toml" / "run", manifest, {})


def test_a_run_whose_making_was_cut_short_is_no_run_and_its_folder_can_be_used_again(
    run: Run, manifest: Manifest
) -> None:
    run.close()
    (run.folder / "run.json").unlink()
    with pytest.raises(EmomtlError, match="no run here"):
        Run.open(run.folder)
    with Run.create(run.folder, manifest, {"again": True}) as again:
        assert again.environment == {"again": True}


@pytest.mark.parametrize("name", ["manifest.toml", "environment.json", "checkpoints"])
def test_a_run_with_a_part_missing_is_refused_by_that_parts_name(run: Run, name: str) -> None:
    path = run.folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(EmomtlError, match=f"{name}: damaged: it is missing"):
        Run.open(run.folder)


@pytest.mark.parametrize("name", ["run.json", "manifest.toml", "environment.json"])
def test_a_damaged_file_of_a_run_is_named(run: Run, name: str) -> None:
    (run.folder / name).write_bytes(b"\x00\xff{")
    with pytest.raises(EmomtlError, match=name):
        Run.open(run.folder)


def test_a_run_of_another_format_is_refused_with_both_versions(run: Run) -> None:
    (run.folder / "run.json").write_text('{"format": 7, "emomtl": "9.9", "name": "small"}')
    with pytest.raises(EmomtlError, match=r"format 7 by emomtl 9\.9; this emomtl reads format 1"):
        Run.open(run.folder)


def test_events_come_back_exactly_and_in_order(run: Run) -> None:
    losses = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0]
    for step, loss in enumerate(losses):
        run.log_event("step", step=step, loss=loss, text="\u2028 \ud800 ü\n")
    events = list(run.events())
    assert [(event["step"], event["loss"].hex()) for event in events] == [
        (step, loss.hex()) for step, loss in enumerate(losses)
    ]
    assert {event["text"] for event in events} == {"\u2028 \ud800 ü\n"}


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_json_does_not_know_is_never_written(run: Run, number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        run.log_event("step", loss=number)
    assert list(run.events()) == []


def test_a_torn_last_line_is_dropped_at_every_length_and_cut_off_before_the_next(run: Run) -> None:
    run.log_event("one", n=1)
    whole = run.events_size()
    run.log_event("two", n=22)
    data = (run.folder / "metrics.jsonl").read_bytes()
    run.close()
    for length in range(whole, len(data)):
        (run.folder / "metrics.jsonl").write_bytes(data[:length])
        assert [event["event"] for event in run.events()] == ["one"]
        with Run.open(run.folder, lock=True) as again:
            assert again.events_size() == whole
            again.log_event("three")
            assert [event["event"] for event in again.events()] == ["one", "three"]


def test_a_long_torn_line_is_cut_off_too(run: Run) -> None:
    (run.folder / "metrics.jsonl").write_bytes(b'{"event":"one"}\n' + b"x" * 200_000)
    run.log_event("two")
    assert [event["event"] for event in run.events()] == ["one", "two"]


def test_an_event_that_a_full_disk_cuts_short_leaves_no_part(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.log_event("one")
    write = os.write

    def half(handle: int, data: bytes) -> int:
        if len(data) < 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(
        EmomtlError, match=r"metrics\.jsonl: cannot be written: No space left on device"
    ):
        run.log_event("two", pad="x" * 100)
    monkeypatch.undo()
    run.log_event("three")
    assert [event["event"] for event in run.events()] == ["one", "three"]


@pytest.mark.parametrize("line", [b"{", b"[1]", b"\xff", b"", b"\x00\x00"])
def test_a_damaged_line_before_the_end_is_an_error_with_its_number(run: Run, line: bytes) -> None:
    (run.folder / "metrics.jsonl").write_bytes(
        b'{"event":"one"}\n' + line + b'\n{"event":"three"}\n'
    )
    with pytest.raises(EmomtlError, match=r"metrics\.jsonl:2: damaged"):
        list(run.events())


def test_events_after_a_checkpoint_can_be_forgotten(run: Run) -> None:
    run.cut_events(0)
    run.log_event("one")
    size = run.events_size()
    run.log_event("two")
    run.cut_events(size)
    run.log_event("two again")
    assert [event["event"] for event in run.events()] == ["one", "two again"]
    with pytest.raises(EmomtlError, match="no line ends at byte 3"):
        run.cut_events(3)
    with pytest.raises(EmomtlError, match="and held 9999 when the checkpoint was written"):
        run.cut_events(9999)


def test_every_look_at_a_split_is_counted(run: Run) -> None:
    assert run.scores() == []
    assert (
        run.add_scores(
            {
                "split": "test",
                "checkpoint": "step-00000001",
                "step": 1,
                "tasks": {},
                "macro_f1": 0.1 + 0.2,
            }
        )
        == 1
    )
    assert (
        run.add_scores(
            {"split": "validation", "checkpoint": "step-00000001", "step": 1, "tasks": {}}
        )
        == 1
    )
    assert (
        run.add_scores({"split": "test", "checkpoint": "step-00000002", "step": 1, "tasks": {}})
        == 1
    )
    assert (
        Run.open(run.folder).add_scores(
            {"split": "test", "checkpoint": "step-00000001", "step": 1, "tasks": {}}
        )
        == 2
    )
    assert [entry["look"] for entry in run.scores()] == [1, 1, 1, 2]
    assert run.scores()[0]["macro_f1"] == 0.1 + 0.2


@pytest.mark.parametrize(
    "content", ["[]", '{"format": 2, "evaluations": []}', '{"format": 1, "evaluations": [1]}', "{"]
)
def test_damaged_scores_are_refused_and_not_overwritten(run: Run, content: str) -> None:
    (run.folder / "scores.json").write_text(content)
    with pytest.raises(EmomtlError, match=r"scores\.json: damaged"):
        run.add_scores({"split": "test", "checkpoint": "x"})
    assert (run.folder / "scores.json").read_text() == content


def test_a_log_line_cannot_drive_a_terminal(run: Run) -> None:
    run.log("plain ü\nsecond")
    run.log("\x1b[2Jgone\u202e")
    assert (run.folder / "log.txt").read_text() == "plain ü\nsecond\n\\x1b[2Jgone\\u202e\n"


def test_a_folder_that_goes_while_the_run_lives_is_said_and_not_made_again(run: Run) -> None:
    run.log_event("one")
    shutil.rmtree(run.folder)
    for write in (
        lambda: run.log_event("two"),
        lambda: run.log("line"),
        lambda: run.add_scores({"split": "test", "checkpoint": "x"}),
    ):
        with pytest.raises(
            EmomtlError,
            match=r"runs/small.*cannot be written: No such file or directory \(the folder has gone",
        ):
            write()
    run.close()
    assert not run.folder.exists()


@pytest.mark.parametrize(
    "left", [".old-encoder", ".tmp-encoder/.tmp-sha256.json", "plugins/.tmp-x.py", ".tmp-run.json"]
)
def test_what_a_killed_start_left_is_gone_when_the_encoder_is_kept_again(
    run: Run, left: str
) -> None:
    path = run.folder / left
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if left == ".old-encoder" else path.write_text("half")
    run.keep_encoder(lambda folder: (folder / "config.json").write_text("{}") and None)
    assert sorted(path.name for path in run.kept_encoder().iterdir()) == [
        "config.json",
        "sha256.json",
    ]
    assert not [path for path in run.folder.rglob(".*") if path.name.startswith((".tmp-", ".old-"))]


def test_an_encoder_whose_replacement_was_killed_comes_back(run: Run) -> None:
    run.keep_encoder(lambda folder: (folder / "config.json").write_text("old") and None)
    run.kept_encoder().rename(run.folder / ".old-encoder")
    run.tidy()
    assert (run.kept_encoder() / "config.json").read_text() == "old"
    assert not (run.folder / ".old-encoder").exists()


def test_a_file_that_vanishes_while_a_run_is_opened_is_no_fault(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.walk

    def walk(top: Path, **more: object) -> object:
        """A folder as it was an instant ago, with the half-written file that its writer has renamed
        since.
        """
        for root, folders, files in really(top):
            yield root, folders, [*files, ".tmp-scores.json"]

    monkeypatch.setattr(os, "walk", walk)
    assert Run.open(run.folder).name == "small"


def test_a_run_that_is_not_locked_cannot_be_written(run: Run) -> None:
    reader = Run.open(run.folder)
    for write in (lambda: reader.log_event("x"), reader.events_size, lambda: reader.cut_events(0)):
        with pytest.raises(RuntimeError, match="only the process that holds the run's lock"):
            write()


def test_the_import_of_the_run_layer_is_light() -> None:
    heavy = "{'torch', 'safetensors', 'numpy', 'transformers', 'datasets'}"
    script = f"import sys, emomtl.run; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
