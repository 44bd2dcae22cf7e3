"""Trains a manifest in children that are killed at random moments until enough were; run by test_kill.py, prints JSON.

A server with torch and emomtl imported, whose children start in milliseconds: MANIFEST, FOLDER, KILLS, SEED as arguments.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from emomtl.compose import compose_file
from emomtl.plugins import Plugins
from emomtl.run import Run, find_checkpoint, open_checkpoint
from emomtl.train import Display, resume, start, train


class Told(Display):
    """Writes the steps that a child takes where the server reads them, whatever happens to the child."""

    def __init__(self, board: mmap.mmap) -> None:
        self.board = board

    def stepped(self, state: Any, progress: float, examples: int) -> None:
        first, _ = struct.unpack("qq", self.board[:16])
        self.board[:16] = struct.pack("qq", first or state.step, state.step)


def child(manifest: Path, folder: Path, board: mmap.mmap) -> None:
    """Start or resume the run and train to its end."""
    plan = compose_file(manifest, [], Plugins.discover())
    begun = (folder / "run.json").exists()
    train(resume(plan, folder, Told(board)) if begun else start(plan, folder, Told(board)))


def contents(folder: Path) -> dict[str, Any]:
    """Hashes of the last checkpoint's files, its state, and the events without starts."""
    run = Run.open(folder)
    checkpoint = open_checkpoint(find_checkpoint(run, "last"))
    events = [event for event in run.events() if event["event"] != "start"]
    best = find_checkpoint(run, "best").resolve().name
    files = {name: found for name, found in checkpoint.files.items() if name.endswith(".safetensors")}
    return {"files": files, "state": checkpoint.state["run"], "events": events, "scores": run.scores(), "best": best}


def published(folder: Path) -> list[str]:
    """What is wrong with any checkpoint that has its name; a half-written one must not have it."""
    wrong = []
    for path in (folder / "checkpoints").glob("step-*") if folder.exists() else ():
        try:
            open_checkpoint(path)
        except Exception as error:
            wrong.append(f"{path.name}: {error}")
    return wrong


def one_life(manifest: Path, folder: Path, board: mmap.mmap, seconds: float) -> int | None:
    """Let a child live for some seconds; None where it was killed, else its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(manifest, folder, board)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if code == -signal.SIGKILL else code


def main(manifest: Path, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """The unbroken run, and what became of the killed ones."""
    draw, board = random.Random(seed), mmap.mmap(-1, 16)
    child(manifest, folder / "unbroken", board)  # in the server itself: whatever is imported late is there for every child
    began = time.monotonic()
    if one_life(manifest, folder / "unbroken-again", board, 600) != 0:
        raise SystemExit("the unbroken run failed")
    whole = time.monotonic() - began
    wanted = contents(folder / "unbroken")
    found: list[dict[str, Any]] = []
    while sum(run["kills"] for run in found) < kills:
        run: dict[str, Any] = {"kills": 0, "at": [], "damaged": [], "repeated": 0, "same": False}
        place, last, code = folder / f"killed-{len(found)}", 0, None
        while code is None:
            board[:16] = struct.pack("qq", 0, 0)
            code = one_life(manifest, place, board, draw.uniform(0.01, whole * 0.6))
            first, step = struct.unpack("qq", board[:16])
            if first and last:
                run["repeated"] = max(run["repeated"], last - first + 1)
            last = step or last
            if code is None:
                run["kills"] += 1
                run["at"].append(last)
                run["damaged"] += published(place)
        run["code"] = code
        run["same"] = code == 0 and contents(place) == wanted
        found.append(run)
        if code != 0:
            break
    return {"runs": found, "steps": wanted["state"]["step"], "seconds": time.monotonic() - began}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
