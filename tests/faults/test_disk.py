"""A disk that is full or read-only: one clear message, the last checkpoint stays good, and the run
goes on once it is mended.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import contextlib, io, json, os, shutil, sys
from pathlib import Path
from emomtl.cli import main
disk, manifest = Path(sys.argv[1]), sys.argv[2]
said = []

def run(*arguments):
    err = io.StringIO()
    try:
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        errors = [line for line in err.getvalue().splitlines() if line.startswith("error: ")]
        said.append([stopped.code, errors, err.getvalue()])

def mount(options):
    assert os.system(f"mount -o remount,{options} {disk}") == 0

(disk / "filler").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - 20_000))
run("train", manifest, "--out", disk / "early")
os.unlink(disk / "filler")
shutil.rmtree(disk / "early", ignore_errors=True)
run("train", manifest, "--out", disk / "run")
run("predict", disk / "run", "happy", "--checkpoint", "last")
steps = sorted(path.name for path in (disk / "run" / "checkpoints").iterdir())
mount("size=30m")
run("train", manifest, "--out", disk / "run", "--resume")
mount("ro")
run("train", manifest, "--out", disk / "other")
run("eval", disk / "run")
run("train", manifest, "--out", disk / "run", "--resume")
run("predict", disk / "run", "happy")
mount("rw")
shutil.copytree(disk / "run", sys.argv[3], symlinks=True)
print(json.dumps([said, steps]))
"""


def test_a_full_or_read_only_disk_costs_no_checkpoint(
    desk: Any, contents: Any, tmp_path: Path
) -> None:
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    manifest = desk.manifest(train={"steps": 8}, eval={"every": 2})
    unbroken = contents(desk.train(manifest, "unbroken"))
    size = sum(
        path.stat().st_size
        for path in (desk.folder / "unbroken" / "checkpoints" / "last").resolve().iterdir()
    )
    encoder = sum(
        -(-path.stat().st_size // 4096) * 4096
        for path in (desk.folder / "unbroken" / "encoder").iterdir()
    )
    # for one checkpoint, not for two
    mount = f"mount -t tmpfs -o size={(encoder + size * 19 // 10) // 1000 + 80}k none {disk}"
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode
    ):
        pytest.skip("this machine allows no mounts in a namespace of one's own")
    command = f'{mount} && exec "$0" -c "$1" {disk} {manifest} {copy}'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, sys.executable, SCRIPT],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (early, full, predicted, resumed, *read_only, read), steps = json.loads(done.stdout)
    for code, errors, whole in (early, full, *read_only):
        assert code == 1, whole
        assert len(errors) == 1, whole
        assert "Traceback" not in whole
    assert "free space, or choose a folder on another disk with --out" in early[1][0]
    assert "free space, or choose a folder on another disk with --out" in full[1][0]
    assert "checkpoints" in full[1][0]
    assert "last" in steps
    assert not [name for name in steps if name.startswith(".")]
    assert predicted[0] == 0, predicted
    assert resumed[0] == 0, resumed
    assert all(
        "Read-only file system (make the disk writable" in errors[0] for _, errors, _ in read_only
    )
    assert read[0] == 0, read
    assert contents(copy) == unbroken
