"""A run folder that is removed, moved, replaced, made read-only or out of inodes in mid-run: one
clear error, and no loss.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = '''
"""Does something to the run's folder after the fourth step, as `HOW` says."""
import os, shutil
from emomtl import hookimpl

@hookimpl
def emomtl_stepped(run, step):
    how = os.environ.pop("HOW", "") if step == 4 else ""
    if how == "removed":
        shutil.rmtree(run.folder)
    elif how == "emptied":
        shutil.rmtree(run.checkpoints)
    elif how == "moved":
        os.rename(run.folder, f"{run.folder}-elsewhere")
    elif how == "replaced":
        shutil.rmtree(run.folder)
        run.folder.mkdir()
    elif how == "read-only":
        assert os.system(f"mount --bind {run.folder} {run.folder} && mount -o remount,ro,bind {run.folder}") == 0
    elif how == "inodes":
        try:
            for number in range(1000):
                (run.folder.parent / f"filler-{number}").touch(exist_ok=False)
        except OSError:
            return
        raise AssertionError("the table of inodes is not full")
'''
SCRIPT = """
import contextlib, io, json, os, shutil, sys
from pathlib import Path
from emomtl.cli import main
disk, manifest, kept = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
found = {}

def run(*arguments):
    err = io.StringIO()
    try:
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        return [stopped.code, [line for line in err.getvalue().splitlines() if line.startswith("error: ")], err.getvalue()]

for how in ("removed", "emptied", "moved", "replaced", "inodes", "read-only"):
    os.environ["HOW"] = how
    said = [run("train", manifest, "--out", disk / how)]
    left = sorted(os.listdir(disk / how)) if (disk / how).exists() else None
    if how == "moved":
        os.rename(disk / "moved-elsewhere", disk / "moved")
    if how in ("inodes", "read-only"):
        said += [run("report", disk / how), run("predict", disk / how, "happy", "--checkpoint", "last")]
        said += [run("train", manifest, "--out", disk / ("second" if how == "inodes" else "read-only/second"))]
    for filler in disk.glob("filler-*"):
        filler.unlink()
    if how == "read-only":
        assert os.system(f"umount {disk / how}") == 0
    said.append(run("train", manifest, "--out", disk / how, "--resume"))
    if said[-1][0] == 0:
        shutil.copytree(disk / how, kept / how, symlinks=True)
    shutil.rmtree(disk / how, ignore_errors=True)
    found[how] = [left, said]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def desk(make_desk: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One desk for all that happens to folders."""
    made = make_desk(tmp_path_factory.mktemp("gone") / "desk")
    (made.folder / "went.py").write_text(PLUGIN)
    return made


@pytest.fixture(scope="module")
def manifest(desk: Any) -> Path:
    """Eight steps with a checkpoint every two."""
    train, every = {"steps": 8, "log_every": 1}, {"every": 2}
    made: Path = desk.manifest(
        plugins=["./went.py"], train=train, eval={"every": 4}, checkpoint=every
    )
    return made


@pytest.fixture(scope="module")
def found(desk: Any, manifest: Path) -> dict[str, Any]:
    """What was left and said, by what happened; the runs that went on to their end are kept in
    `kept`.
    """
    disk, kept = desk.folder / "disk", desk.folder / "kept"
    disk.mkdir()
    kept.mkdir()
    mount = f"mount -t tmpfs -o size=40m,nr_inodes=120 none {disk}"
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode
    ):
        pytest.skip("this machine allows no mounts in a namespace of one's own")
    command = f'{mount} && exec "$0" -c "$1" {disk} {manifest} {kept}'
    # the runs bring went.py along, which is ours
    trusted = {**os.environ, "EMOMTL_TRUST_PLUGINS": "1"}
    script = ["unshare", "-rm", "sh", "-c", command, sys.executable, SCRIPT]
    done = subprocess.run(script, capture_output=True, text=True, env=trusted)
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


@pytest.fixture(scope="module")
def unbroken(desk: Any, manifest: Path, contents: Any) -> Any:
    """The run to which nothing happens."""
    return contents(desk.train(manifest, "unbroken"))


REASONS = {
    "removed": (
        "the folder has gone: was it moved or removed? Put it back, or choose another with --out"
    ),
    "emptied": (
        "the folder has gone: was it moved or removed? Put it back, or choose another with --out"
    ),
    "moved": (
        "the folder has gone: was it moved or removed? Put it back, or choose another with --out"
    ),
    "replaced": (
        "the folder has gone: was it moved or removed? Put it back, or choose another with --out"
    ),
    "inodes": (
        "No space left on device, as no inode is free (remove files, or choose a folder on another"
        " disk with --out)"
    ),
    "read-only": (
        "Read-only file system (make the disk writable, or choose a folder on another disk with"
        " --out)"
    ),
}


@pytest.mark.parametrize("how", REASONS)
def test_one_error_names_the_path_and_the_remedy(
    desk: Any, found: dict[str, Any], how: str
) -> None:
    _, said = found[how]
    code, errors, whole = said[0]
    assert code == 1, whole
    assert len(errors) == 1, whole
    assert str(desk.folder / "disk" / how) in errors[0]
    assert REASONS[how] in errors[0]
    assert all("Traceback" not in everything for _, _, everything in said)


@pytest.mark.parametrize("how", ["moved", "inodes", "read-only"])
def test_a_mended_run_equals_the_unbroken_one(
    desk: Any, found: dict[str, Any], contents: Any, unbroken: Any, how: str
) -> None:
    code, _, whole = found[how][1][-1]
    assert code == 0, whole
    assert contents(desk.folder / "kept" / how) == unbroken


@pytest.mark.parametrize("how", ["removed", "emptied", "replaced"])
def test_a_resume_names_files_that_were_removed(found: dict[str, Any], how: str) -> None:
    left, said = found[how]
    assert left == {"removed": None, "replaced": []}.get(how, left)
    code, errors, _ = said[-1]
    assert code == 1
    assert (
        "it is missing from the run" if how == "emptied" else "no run here (there is no run.json)"
    ) in errors[0]


@pytest.mark.parametrize("how", ["inodes", "read-only"])
def test_without_its_corpus_a_run_still_reports_and_predicts(
    found: dict[str, Any], how: str
) -> None:
    report, predicted, second = found[how][1][1:4]
    assert (report[0], predicted[0]) == (0, 0), (report, predicted)
    assert second[0] == 1
    assert len(second[1]) == 1
