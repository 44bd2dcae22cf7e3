"""The long form: every target under atheris (libFuzzer, guided by coverage), for as long as one likes.

    python -m venv fuzz && fuzz/bin/pip install atheris==3.0.0 -e '.[dev]'
    fuzz/bin/python tests/fuzz/atheris_targets.py --seconds 3600 --out findings [TARGET ...]

The time is shared among the targets, each in a process of its own. An input that does anything but being read or refused by an
`EmomtlError` is kept in the folder, once a place in the code; so is one that costs more than 2 s of CPU time and a second a
megabyte, or more memory than 100 MB and ten times its size. A process that hangs, or grows beyond its limit, ends with a log.
Exit code 1 where there are any of these. atheris is a tool of developers and no dependency of emomtl.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

BEGAN = time.monotonic()
SLOW, SLOW_PER_BYTE = 2.0, 1e-6
LARGE, LARGE_PER_BYTE = 100_000_000, 10
HANG, GROWTH = 30, 1_024
"""Seconds after which an input is a hang, on a busy machine too, and megabytes by which a process of many inputs may grow."""


def parent(names: list[str], seconds: float, out: Path) -> int:
    """Run every target for its share; a process that dies of an input is a finding, and another takes its place."""
    out.mkdir(parents=True, exist_ok=True)
    table: dict[str, dict[str, Any]] = {}
    for name in names:
        end = time.monotonic() + seconds / len(names)
        table[name] = {"executions": 0, "seconds": 0.0, "coverage": 0, "deaths": 0}
        while (left := end - time.monotonic()) > 1:
            began = time.monotonic()
            count = out / f"{name}.count"
            count.unlink(missing_ok=True)
            command = [sys.executable, __file__, "--child", name, "--seconds", str(int(left)), "--out", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            table[name]["seconds"] += time.monotonic() - began
            table[name]["executions"] += int(count.read_text() or 0) if count.exists() else 0
            seen = [int(number) for number in re.findall(r"\bcov: (\d+)", done.stderr)]
            table[name]["coverage"] = max([table[name]["coverage"], *seen])
            if done.returncode:
                table[name]["deaths"] += 1
                number = table[name]["deaths"]
                (out / f"{name}.death-{number}.log").write_text(done.stdout[-5_000:] + done.stderr[-20_000:])
                if number > 20:
                    break
        print(name, table[name], flush=True)
    (out / "table.json").write_text(json.dumps(table, indent=2))
    findings = sorted(path.name for path in out.glob("*.finding"))
    print(f"{sum(one['executions'] for one in table.values()):,} executions, {len(findings)} findings", *findings, sep="\n")
    return int(bool(findings) or any(one["deaths"] for one in table.values()))


def child(name: str, seconds: int, out: Path) -> None:
    """Fuzz one target; never comes back."""
    import atheris

    with atheris.instrument_imports(include=["emomtl", "emomtl_tasks"]):
        from fuzz_targets import TARGETS, clear

        target = TARGETS[name]
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = Path(tempfile.mkdtemp(prefix="emomtl-fuzz-", dir=memory))
        seeds = target.seeds()
        for seed in seeds:  # whatever is imported late is imported now, and instrumented
            target(seed, clear(folder / "in"))
    corpus, seen, executions = folder / "corpus", set(), 0
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)

    def keep(data: bytes, why: str, where: str) -> None:
        if where not in seen:
            seen.add(where)
            place = out / f"{name}.{hashlib.sha256(where.encode()).hexdigest()[:12]}"
            place.with_suffix(".finding").write_bytes(data)
            place.with_suffix(".txt").write_text(why)

    def one(data: bytes) -> None:
        nonlocal executions
        executions += 1
        if executions % 100 == 0:
            (out / f"{name}.count").write_text(str(executions))
        (folder / "last").write_bytes(data)
        began, peak = time.process_time(), largest()
        try:
            target(data, clear(folder / "in"))
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            keep(data, traceback.format_exc(), " ".join(f"{frame.filename}:{frame.lineno}" for frame in frames[-3:]))
        if (took := time.process_time() - began) > SLOW + SLOW_PER_BYTE * len(data):
            keep(data, f"took {took:.1f} s", "slow")
        if (grown := largest() - peak) > LARGE + LARGE_PER_BYTE * len(data):
            keep(data, f"took {grown / 1e6:.0f} MB", "large")

    options = [
        f"-max_total_time={max(1, int(seconds - (time.monotonic() - BEGAN)))}",
        f"-artifact_prefix={out}/{name}.",
        f"-timeout={HANG}",
        f"-rss_limit_mb={largest() // 10**6 + GROWTH}",
        "-max_len=65536",
    ]
    words = folder / "words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words))
    atheris.Setup([sys.argv[0], *options, f"-dict={words}", str(corpus)], one)
    atheris.Fuzz()


def largest() -> int:
    """The most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """What the command line asks for."""
    from fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="some of them; left out, all")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--out", type=Path, default=Path("findings"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, int(given.seconds), given.out)
    return parent(given.targets or list(TARGETS), given.seconds, given.out.resolve())


if __name__ == "__main__":
    sys.exit(main())
