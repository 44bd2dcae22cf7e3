"""Trains a manifest in children that are killed at random moments until enough were; run by
test_kill.py, prints JSON.

A server with torch and emomtl imported, whose children start in milliseconds: MANIFEST, FOLDER,
KILLS, SEED and the names of the SIGNALS, of which each kill draws one, as arguments.
"""

from __future__ import annotations

import contextlib
import io
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

from emomtl.cli import main as command
from emomtl.compose import compose_file
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run, find_checkpoint, open_checkpoint
from emomtl.train import Display, Interrupted, resume, start, train

BOARD = "qqq"
SIZE = struct.calcsize(BOARD)


class Told(Display):
    """Writes the steps that a child takes where the server reads them, whatever happens to the
    child.
    """

    def __init__(self, board: mmap.mmap) -> None:
        self.board = board

    def stepped(self, state: Any, progress: float, examples: int) -> None:
        first, _, _ = struct.unpack(BOARD, self.board[:SIZE])
        self.board[:SIZE] = struct.pack(BOARD, first or state.step, state.step, 0)


def child(manifest: Path, folder: Path, board: mmap.mmap) -> None:
    """Start or resume the run and train to its end; where a signal ends it at a step boundary, that
    is told on the board.
    """
    try:
        plan = compose_file(manifest, [], Plugins.discover())
        begun = (folder / "run.json").exists()
        train(resume(plan, folder, Told(board)) if begun else start(plan, folder, Told(board)))
    except Interrupted as stopped:
        first, last, _ = struct.unpack(BOARD, board[:SIZE])
        board[:SIZE] = struct.pack(BOARD, first, last, 1)
        sys.exit(stopped.code)
    except KeyboardInterrupt:
        sys.exit(130)


def contents(folder: Path) -> dict[str, Any]:
    """Hashes of the last checkpoint's files, its state, and the events without starts and times."""
    run = Run.open(folder)
    checkpoint = open_checkpoint(find_checkpoint(run, "last"))
    events = [event | {"seconds": None} for event in run.events() if event["event"] != "start"]
    best = find_checkpoint(run, "best").resolve().name
    files = {
        name: found for name, found in checkpoint.files.items() if name.endswith(".safetensors")
    }
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    known = {
        "files": files,
        "state": checkpoint.state["run"],
        "events": events,
        "scores": run.scores(),
    }
    return known | {"best": best, "names": names}


def published(folder: Path) -> list[str]:
    """What is wrong with any checkpoint that has its name; a half-written one must not have it."""
    wrong = []
    for path in (folder / "checkpoints").glob("step-*") if folder.exists() else ():
        try:
            open_checkpoint(path)
        except Exception as error:
            wrong.append(f"{path.name}: {error}")
    return wrong


def reported(folder: Path) -> str:
    """What is wrong with a report on a run that was just killed: it has to come without a
    traceback, and say what is missing.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            command(["report", str(folder)])
            code: Any = 0
        except SystemExit as stopped:
            code = stopped.code
        except Exception:
            return traceback.format_exc()
    if code == 1 and not (folder / "run.json").exists():
        return "" if "no run.json" in err.getvalue() else err.getvalue()
    if code == 0 and {entry["which"] for entry in Run.open(folder).scores()} == {"best", "last"}:
        return ""  # killed when all was done, so nothing is missing
    said = " ".join(out.getvalue().split())
    missing = (
        "not finished" in said
        or "no step was logged" in said
        or "no validation scores of its" in said
    )
    return "" if code == 0 and missing else f"{code}: {err.getvalue()}{said[:500]}"


def one_life(
    manifest: Path, folder: Path, board: mmap.mmap, seconds: float, number: int
) -> tuple[int, float | None]:
    """Let a child live for some seconds, then send it a signal: its exit code, and the seconds it
    took to stop if it got one.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(manifest, folder, board)
            code = 0
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), None
        time.sleep(0.002)
    sent = time.monotonic()
    os.kill(pid, number)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, time.monotonic() - sent if code else None


def main(manifest: Path, folder: Path, kills: int, seed: int, signals: list[int]) -> dict[str, Any]:
    """The unbroken run, and what became of the killed ones."""
    draw, board = random.Random(seed), mmap.mmap(-1, SIZE)
    # in the server itself: whatever is imported late is there for every child
    child(manifest, folder / "unbroken", board)
    began = time.monotonic()
    if one_life(manifest, folder / "unbroken-again", board, 600, signal.SIGKILL)[0] != 0:
        raise SystemExit("the unbroken run failed")
    whole = time.monotonic() - began
    wanted = contents(folder / "unbroken")
    found: list[dict[str, Any]] = []
    while sum(run["kills"] for run in found) < kills:
        run: dict[str, Any] = {
            "kills": 0,
            "at": [],
            "damaged": [],
            "reports": [],
            "repeated": 0,
            "twice": 0,
            "codes": [],
        }
        run |= {"same": False, "slowest": 0.0}
        place, last, boundary, seconds = folder / f"killed-{len(found)}", 0, 0, 0.0
        code, longer = -1, 1.0
        while seconds is not None:
            board[:SIZE] = struct.pack(BOARD, 0, 0, 0)
            number = draw.choice(signals)
            code, seconds = one_life(
                manifest, place, board, draw.uniform(0.01, whole * 0.6 * longer), number
            )
            first, step, at_boundary = struct.unpack(BOARD, board[:SIZE])
            if first and last:
                run["repeated"] = max(run["repeated"], last - first + 1)
                run["twice"] += boundary and last - first + 1
            # a machine that is busy now must not keep the run where it is
            longer = 1.0 if step > last else longer * 1.2
            last, boundary = step or last, at_boundary if step else boundary
            if seconds is not None:
                run["kills"] += 1
                run["at"].append(last)
                run["codes"].append([signal.Signals(number).name, code])
                run["slowest"] = max(run["slowest"], seconds)
                run["damaged"] += published(place)
                run["reports"] += [said] if (said := reported(place)) else []
                print(
                    f"{sum(one['kills'] for one in found) + run['kills']} kills",
                    file=sys.stderr,
                    flush=True,
                )
        run["code"] = code
        run["same"] = code == 0 and contents(place) == wanted
        found.append(run)
        if code != 0:
            break
    return {"runs": found, "steps": wanted["state"]["step"], "seconds": time.monotonic() - began}


if __name__ == "__main__":
    chosen = [int(signal.Signals[name]) for name in sys.argv[5:]]
    print(
        json.dumps(
            main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), chosen)
        )
    )
