"""On a disk that is full, or that has become read-only, the last good checkpoint stays and one
clear error is said.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

START = """
import json, os, sys
from pathlib import Path
import torch
from emomtl.errors import EmomtlError
from emomtl.manifest.models import EncoderTable, Manifest, TaskTable
from emomtl.run import Run, checkpoint, point, prune, resume_point, save_checkpoint
disk = Path(sys.argv[1])
manifest = Manifest(name="small", encoder=EncoderTable(use="minilm"), tasks={"demo": TaskTable()})
parts = lambda n: {"model": {"w": torch.full((50_000,), float(n))}, "optimizer": {"m": torch.full((25_000,), float(n))}}
"""
FULL = """
run = Run.create(disk / "run", manifest, {})
point(run, "last", save_checkpoint(run, 1, parts(1), {}))
preflight, found, step, size = checkpoint.require_space, [], 1, 300_000
for number in range(40):
    checkpoint.require_space = preflight if number % 2 else lambda path, needed: None
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    left = (number // 2) * size * 14 // 190
    with open(disk / "filler", "wb") as filler:
        filler.write(bytes(max(0, free - left)))
    said = ""
    try:
        run.log_event("step", step=step, pad="x" * 3000)
        point(run, "last", save_checkpoint(run, step + 1, parts(step + 1), {}))
        step += 1
    except EmomtlError as error:
        said = str(error)
    os.unlink(disk / "filler")
    good = resume_point(run)
    whole = good.step == step and good.tensors("model")["w"].unique().tolist() == [float(step)]
    lines = [event["step"] for event in run.events()]
    litter = [name for name in os.listdir(run.checkpoints) if name.startswith(".")]
    found.append([said, whole, lines == sorted(lines), litter])
    prune(run, [])
print(json.dumps(found))
"""
READ_ONLY = """
run = Run.create(disk / "run", manifest, {})
point(run, "last", save_checkpoint(run, 1, parts(1), {}))
run.close()
os.system(f"mount --bind {disk}/run {disk}/run && mount -o remount,ro,bind {disk}/run")
reader, found = Run.open(disk / "run"), []
writes = [
    lambda: reader.lock(),
    lambda: reader.log("x"),
    lambda: reader.add_scores({"split": "test", "checkpoint": "x"}),
    lambda: Run.create(disk / "run" / "inner", manifest, {}),
]
for write in writes:
    try:
        write()
        found.append("")
    except EmomtlError as error:
        found.append(str(error))
found.append(checkpoint.open_checkpoint(disk / "run" / "checkpoints" / "last").step)
print(json.dumps(found))
"""
TURNED = """
run = Run.create(disk / "run", manifest, {})
point(run, "last", save_checkpoint(run, 1, parts(1), {}))
os.system(f"mount --bind {disk}/run/checkpoints {disk}/run/checkpoints && mount -o remount,ro,bind {disk}/run/checkpoints")
found = []
for write in (lambda: save_checkpoint(run, 2, parts(2), {}), lambda: point(run, "best", run.checkpoints / "step-00000001")):
    try:
        write()
        found.append("")
    except EmomtlError as error:
        found.append(str(error))
found.append(resume_point(run).step)
print(json.dumps(found))
"""


def on_small_disk(tmp_path: Path, script: str) -> list[Any]:
    """Run a script on a disk of 2 MB in a namespace of its own; skip where the machine does not
    allow one.
    """
    mount = f"mount -t tmpfs -o size=2m none {tmp_path}"
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode
    ):
        pytest.skip("this machine allows no mounts in a namespace of one's own")
    command = f'{mount} && exec "$0" -c "$1" {tmp_path}'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, sys.executable, START + script],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def test_a_full_disk_costs_no_checkpoint_at_any_fill_level(tmp_path: Path) -> None:
    found = on_small_disk(tmp_path, FULL)
    refused = [said for said, *_ in found if said]
    assert 20 <= len(refused) < len(found)
    assert all(
        "free space, or choose a folder on another disk with --out" in said for said in refused
    )
    assert any("are needed to write it safely" in said for said in refused)
    assert any("No space left on device" in said for said in refused)
    assert all(whole and ordered and litter == [] for _, whole, ordered, litter in found)


def test_a_read_only_run_can_be_read_and_every_write_says_why_not(tmp_path: Path) -> None:
    *said, step = on_small_disk(tmp_path, READ_ONLY)
    assert step == 1
    assert len(said) == 4
    for message in said:
        assert "Read-only file system (make the disk writable" in message
        assert str(tmp_path / "run") in message


def test_checkpoints_that_turn_read_only_under_a_run_stop_it_with_the_old_one_whole(
    tmp_path: Path,
) -> None:
    *said, step = on_small_disk(tmp_path, TURNED)
    assert step == 1
    for message in said:
        assert "Read-only file system (make the disk writable" in message
