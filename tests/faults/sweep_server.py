"""Kills `emomtl train` at file-system events of its life and looks what is left; run by
test_sweep.py, prints JSON.

A server with torch and emomtl imported, whose children start in milliseconds. It reads one JSON
object from its standard
input: the `folder` to work in, the command lines of `before` (lives that are not killed, or at the
first event whose name holds `until`), `life` (the one that is), and `after` (what a user does
then), and which `stops` to try (None for every event).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emomtl.cli import main as command
from emomtl.run import Run, find_checkpoint, open_checkpoint

AUDITED = {
    "os.rename",
    "os.mkdir",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.chmod",
    "os.truncate",
}
"""What Python tells an audit hook before it does it; writing `open` is told, too."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Events:
    """Counts the calls of this process that change files below a folder; SIGKILL before call number
    `stop`.

    With `torn` the file that is about to be synced, or the bytes that are about to be appended,
    lose their second half: what is left by a kill amid the write before.
    """

    def __init__(self, root: Path, stop: int | str | None, torn: bool = False) -> None:
        self.root, self.stop, self.torn = f"{root.resolve()}/", stop, torn
        self.count = 0
        self.names: list[str] = []
        self.syncs: list[int] = []
        self.fsync, self.write = os.fsync, os.write
        os.fsync, os.write = self._fsync, self._write  # type: ignore[assignment]  # audit hooks are not told of these
        sys.addaudithook(self._audit)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
            path, mode, flags = args
            if (isinstance(mode, str) and set(mode) & set("wxa+")) or flags & WRITING:
                self._saw(event, os.fsdecode(path))
        elif event in AUDITED:
            place = 1 if event == "os.symlink" else 0
            self._saw(event, self._path(args[place], args))

    @staticmethod
    def _path(given: Any, args: tuple[Any, ...]) -> str:
        """The path of a call; of one that is below an open folder (as rmtree makes them), with that
        folder.
        """
        if isinstance(given, int):
            return os.readlink(f"/proc/self/fd/{given}")
        path, folder = os.fsdecode(given), args[-1]
        if not path.startswith("/") and isinstance(folder, int) and folder >= 0:
            with contextlib.suppress(OSError):
                return f"{os.readlink(f'/proc/self/fd/{folder}')}/{path}"
        return path

    def _fsync(self, handle: int) -> None:
        self._saw("os.fsync", os.readlink(f"/proc/self/fd/{handle}"), handle)
        self.fsync(handle)

    def _write(self, handle: int, data: bytes) -> int:
        self._saw("os.write", os.readlink(f"/proc/self/fd/{handle}"), handle, bytes(data))
        return self.write(handle, data)

    @staticmethod
    def _is_new(handle: int) -> bool:
        """Whether a sync is the first one of a file: no kill takes back what was synced before."""
        about = os.fstat(handle)
        return stat.S_ISREG(about.st_mode) and not os.readlink(f"/proc/self/fd/{handle}").endswith(
            "metrics.jsonl"
        )

    def _saw(
        self, event: str, path: str, handle: int | None = None, data: bytes | None = None
    ) -> None:
        if not f"{os.path.abspath(path)}/".startswith(self.root):
            return
        self.count += 1
        self.names.append(f"{event} {os.path.relpath(path, self.root)}")
        if handle is not None and (data or self._is_new(handle)):
            self.syncs.append(self.count)
        if self.stop != self.count and not (
            isinstance(self.stop, str) and self.stop in self.names[-1]
        ):
            return
        if self.torn and handle is not None:
            if data is not None:
                self.write(handle, data[: len(data) // 2])
            else:
                os.truncate(f"/proc/self/fd/{handle}", os.fstat(handle).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)


def said(*arguments: str) -> tuple[int, str, str]:
    """The exit code of a command, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            command(list(arguments))
            code: Any = 0
        except SystemExit as stopped:
            code = stopped.code
        except BaseException:
            return 99, out.getvalue(), traceback.format_exc()
    return int(code or 0), out.getvalue(), err.getvalue()


def in_a_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """The exit code of a forked process, and what its work returned, by way of a pipe."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            with open(write, "w") as pipe:
                json.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, json.loads(text) if text else None


def contents(folder: Path) -> dict[str, Any]:
    """What a run left: hashes of the last checkpoint, state, events without starts and times,
    scores, names of files.
    """
    run = Run.open(folder)
    checkpoint = open_checkpoint(find_checkpoint(run, "last"))
    events = [event | {"seconds": None} for event in run.events() if event["event"] != "start"]
    files = {
        name: digest for name, digest in checkpoint.files.items() if name.endswith(".safetensors")
    }
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    links = {which: find_checkpoint(run, which).resolve().name for which in ("best", "last")}
    known = {"files": files, "state": checkpoint.state["run"], "events": events, "links": links}
    scores = [
        {key: value for key, value in entry.items() if key != "answers"} for entry in run.scores()
    ]
    return known | {"scores": scores, "names": names}


class Sweep:
    """One life, killed at one event after another, in a folder of its own each time."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked, self.home = asked, Path(asked["folder"])

    def commands(self, which: str, place: Path) -> list[list[str]]:
        return [
            [word.replace("PLACE", str(place)) for word in words] for words in self.asked[which]
        ]

    def live(self, place: Path, stop: int | None, torn: bool = False) -> tuple[int, Any]:
        """The lives before, and the one that is killed."""
        place.mkdir()
        os.environ["EMOMTL_CACHE"] = str(place / "cache")
        for words in self.commands("before", place):
            code, answer = in_a_child(
                lambda words=words: self.watched(place, self.asked["until"], words)
            )  # type: ignore[misc]
            if code != (-signal.SIGKILL if self.asked["until"] else 0):
                raise SystemExit(f"{words}: {code} {answer}")

        return in_a_child(lambda: self.watched(place, stop, self.commands("life", place)[0], torn))

    @staticmethod
    def watched(place: Path, stop: int | str | None, words: list[str], torn: bool = False) -> Any:
        """A command in this process, killed at an event; its events by name, its syncs by number,
        and what it said.
        """
        events = Events(place, stop, torn)
        answer = said(*words)
        return [events.names, events.syncs, answer]

    def warm(self) -> None:
        """Do all of it once in the server itself: whatever is imported late is there for every
        child.
        """
        place = self.home / "warm"
        place.mkdir()
        for which in ("warm", "opens"):
            for words in self.commands(which, place):
                code, _, err = said(*words)
                if code:
                    raise SystemExit(f"{words}: {err}")
        shutil.rmtree(place)

    def after(self, place: Path) -> dict[str, Any]:
        """What the user finds and does after a kill."""
        told: list[Any] = []
        for words in self.commands("after", place):
            code, answer = in_a_child(lambda words=words: said(*words))  # type: ignore[misc]
            told.append([code, answer])
            if not code and not answer[0]:
                break
        found = {"told": told, "contents": {}, "opens": []}
        for run in self.asked["runs"]:
            with contextlib.suppress(Exception):
                found["contents"][run] = contents(place / run)
        for words in self.commands("opens", place):
            code, answer = in_a_child(lambda words=words: said(*words))  # type: ignore[misc]
            found["opens"].append([code, answer])
        return found

    def run(self) -> dict[str, Any]:
        """The unbroken life, and what became of each that was killed."""
        self.warm()
        place = self.home / "unbroken"
        code, answer = self.live(place, None)
        if code or answer[2][0]:
            raise SystemExit(f"the unbroken life failed: {code} {answer and answer[2][2][-1500:]}")
        names, syncs, _ = answer
        wanted = {run: contents(place / run) for run in self.asked["runs"]}
        shutil.rmtree(place)
        stops = [(stop, False) for stop in range(1, len(names) + 1)] + [
            (stop, True) for stop in syncs
        ]
        if self.asked["stops"] is not None:
            # what was learned from faults first, then evenly from the rest
            named = [
                one
                for one in stops
                if any(names[one[0] - 1].endswith(end) for end in self.asked["named"])
            ]
            every = max(1, len(stops) // self.asked["stops"])
            stops = list(dict.fromkeys([*named, *stops[every // 2 :: every]]))
        found, began = [], time.monotonic()
        for number, (stop, torn) in enumerate(stops):
            place = self.home / f"life-{number}"
            code, _ = self.live(place, stop, torn)
            after = self.after(place)
            same = [run for run in wanted if after["contents"].get(run) == wanted[run]]
            differs = {
                run: differences(wanted[run], after["contents"].get(run))
                for run in wanted
                if run not in same
            }
            found.append(
                {
                    "event": names[stop - 1],
                    "number": stop,
                    "torn": torn,
                    "code": code,
                    "differs": differs,
                    **after,
                }
            )
            del found[-1]["contents"]
            shutil.rmtree(place)
            print(f"{number + 1} of {len(stops)}", file=sys.stderr, flush=True)
        return {"events": names, "lives": found, "seconds": time.monotonic() - began}


def differences(wanted: dict[str, Any], there: dict[str, Any] | None) -> dict[str, Any]:
    """What differs between an unbroken run and one that was killed, by part."""
    if there is None:
        return {"run": "cannot be read"}
    found: dict[str, Any] = {}
    for key, value in wanted.items():
        if there[key] != value:
            lists = key == "names"
            found[key] = sorted(set(there[key]) ^ set(value)) if lists else [value, there[key]]
    return found


if __name__ == "__main__":
    print(json.dumps(Sweep(json.load(sys.stdin)).run()))
