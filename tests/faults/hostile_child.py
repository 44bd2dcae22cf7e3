"""Reads one hostile input in a process of its own, and says on its last line what that cost.

    python tests/faults/hostile_child.py TARGET FILE

TARGET is one of `tests/fuzz/fuzz_targets.py`; its real seeds are read first, so that imports are not counted. The line is JSON:
CPU seconds, the megabytes by which memory grew at most, and the error where there is one.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))


def memory(which: str) -> float:
    """Megabytes that this process has in memory (VmRSS) or has had at most (VmHWM)."""
    found = re.search(rf"^{which}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def main(name: str, path: Path) -> None:
    """Read, and say what it cost."""
    from fuzz_targets import TARGETS, clear

    target, data = TARGETS[name], path.read_bytes()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        for seed in target.seeds():
            target(seed, clear(Path(place, "in")))
        folder = clear(Path(place, "in"))
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        before, began = memory("VmRSS"), time.process_time()
        error = target(data, folder)
        cost = {"seconds": time.process_time() - began, "megabytes": memory("VmHWM") - before}
    print(json.dumps({**cost, "error": [str(problem)[:500] for problem in error.problems] if error is not None else None}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
