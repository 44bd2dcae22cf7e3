"""Reads hostile inputs, each in a process of its own, and says what that cost: one line of JSON an
input.

    python tests/faults/hostile_child.py [WORD ...]

Inputs are those of `hostile_inputs.py` (only those with a WORD in their name), readers those of
`tests/fuzz/fuzz_targets.py`, whose real seeds are read first, so that imports are not counted.
`seconds` are CPU time, `slowness` is how slow this machine was just then, `lines` are those of a
text, `megabytes` what memory grew by at most, `error` is what was said, null where the input was
read, and `died` tells of a process that did not come to its end.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "fuzz")]

HANG = 1_800
"""Seconds of the clock after which a process is ended."""


PLAIN_LOOP = 0.22
"""CPU seconds that `slowness` takes for its loop on the machine whose seconds are promised (3 GHz,
CPython 3.11).
"""


def slowness() -> float:
    """How many times as long as that machine this one takes for a plain loop of Python; at least 1."""
    began, total = time.process_time(), 0
    for number in range(3_000_000):
        total += number & 3
    return max(1.0, (time.process_time() - began) / PLAIN_LOOP)


def memory(which: str) -> float:
    """Megabytes that this process has in memory (VmRSS) or has had at most (VmHWM)."""
    found = re.search(rf"^{which}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def cost(name: str, data: bytes, place: Path) -> dict[str, Any]:
    """Read an input in this process."""
    from fuzz_targets import TARGETS, clear

    folder = clear(place)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before, began = memory("VmRSS"), time.process_time()
    error = TARGETS[name](data, folder)
    found = {
        "seconds": round(time.process_time() - began, 2),
        "megabytes": round(memory("VmHWM") - before, 1),
    }
    return {
        **found,
        "error": [str(problem)[:300] for problem in error.problems] if error is not None else None,
    }


def apart(name: str, data: bytes, place: Path) -> dict[str, Any]:
    """Read an input in a process that is forked off, with everything imported."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        import signal

        signal.alarm(HANG)
        os.write(writing, json.dumps(cost(name, data, place)).encode()[:65_000])
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as said:
        found = said.read()
    ended = os.waitpid(child, 0)[1]
    return json.loads(found) if found else {"died": ended}


def main(words: list[str]) -> None:
    """Read every input, and say what it cost."""
    from fuzz_targets import TARGETS, clear
    from hostile_inputs import INPUTS

    chosen = [key for key in INPUTS if not words or any(word in ": ".join(key) for word in words)]
    with tempfile.TemporaryDirectory(
        dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as folder:
        for name in dict.fromkeys(name for name, _ in chosen):
            for seed in TARGETS[name].seeds():
                TARGETS[name](seed, clear(Path(folder, "in")))
        for name, what in chosen:
            data = INPUTS[name, what]()
            found = apart(name, data, Path(folder, "in"))
            about = {
                "reader": name,
                "input": what,
                "size": round(len(data) / 1e6, 2),
                "lines": data.count(b"\n"),
            }
            print(json.dumps({**about, "slowness": round(slowness(), 2), **found}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
