"""The long form: every target under atheris (libFuzzer, guided by coverage), for as long as one
likes.

    python -m venv fuzz && fuzz/bin/pip install atheris==3.0.0 -e '.[dev]'
    fuzz/bin/python tests/fuzz/atheris_targets.py --seconds 3600 --out findings [TARGET ...]

One process fuzzes all targets; the first byte of an input chooses the one. An input that does
anything but being read or refused by an `EmomtlError` is kept in the folder, once a place in the
code; so is one that costs more than 2 s of CPU time and a second a megabyte, or more memory than
100 MB and ten times its size. A process that crashes, hangs or grows beyond its limit leaves its
log, and another goes on. Exit code 1 where there are any of these. atheris is a tool of developers
and no dependency of emomtl.
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
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

BEGAN = time.monotonic()
SLOW, SLOW_PER_BYTE = 2.0, 1e-6
LARGE, LARGE_PER_BYTE = 100_000_000, 10
HANG, GROWTH = 60, 1_024
"""Seconds after which an input is a hang, on a busy machine too, and megabytes by which a process
of many inputs may grow.
"""

MOST_DEATHS = 20
COUNTS = "executions.json"


def parent(names: list[str], seconds: float, out: Path) -> int:
    """Fuzz until the time is over; a process that dies of an input is a finding, and another takes
    its place.
    """
    out.mkdir(parents=True, exist_ok=True)
    executions: Counter[str] = Counter()
    end, coverage, deaths = time.monotonic() + seconds, 0, 0
    while (left := end - time.monotonic()) > 1 and deaths < MOST_DEATHS:
        (out / COUNTS).unlink(missing_ok=True)
        command = [
            sys.executable,
            __file__,
            *names,
            "--child",
            "--seconds",
            str(int(left)),
            "--out",
            str(out),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        executions.update(json.loads((out / COUNTS).read_text()) if (out / COUNTS).exists() else {})
        coverage = max(
            [coverage, *(int(number) for number in re.findall(r"\bcov: (\d+)", done.stderr))]
        )
        if done.returncode:
            deaths += 1
            (out / f"death-{deaths}.log").write_text(done.stdout[-5_000:] + done.stderr[-20_000:])
    findings = sorted(path.name for path in out.glob("*.finding"))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "executions": executions.total(),
        "cpu_seconds": round(used.ru_utime + used.ru_stime),
        "coverage": coverage,
    }
    found |= {"deaths": deaths, "findings": findings, "targets": executions}
    (out / "table.json").write_text(json.dumps(found, indent=2))
    print(json.dumps(found, indent=2))
    return int(bool(findings) or deaths > 0)


def child(names: list[str], seconds: int, out: Path) -> None:
    """Fuzz the targets in this process; never comes back."""
    import atheris

    with atheris.instrument_imports(include=["emomtl", "emomtl_tasks"]):
        from fuzz_targets import TARGETS, clear

        targets = [TARGETS[name] for name in names]
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = Path(tempfile.mkdtemp(prefix="emomtl-fuzz-", dir=memory))
        seeds = [(number, seed) for number, target in enumerate(targets) for seed in target.seeds()]
        for number, seed in seeds:  # whatever is imported late is imported now, and instrumented
            targets[number](seed, clear(folder / "in"))
    corpus, seen = folder / "corpus", set()
    executions: Counter[str] = Counter()
    corpus.mkdir()
    for place, (number, seed) in enumerate(seeds):
        (corpus / str(place)).write_bytes(bytes([number]) + seed)

    def keep(name: str, data: bytes, why: str, where: str) -> None:
        if (name, where) not in seen:
            seen.add((name, where))
            place = out / f"{name}.{hashlib.sha256(where.encode()).hexdigest()[:12]}"
            place.with_suffix(".finding").write_bytes(data)
            place.with_suffix(".txt").write_text(why)

    def one(whole: bytes) -> None:
        if not whole:
            return
        target, data = targets[whole[0] % len(targets)], whole[1:]
        executions[target.name] += 1
        if executions.total() % 20 == 0:
            (out / COUNTS).write_text(json.dumps(executions))
        began, peak = time.process_time(), largest()
        try:
            target(data, clear(folder / "in"))
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            where = " ".join(f"{frame.filename}:{frame.lineno}" for frame in frames[-3:])
            keep(target.name, data, traceback.format_exc(), where)
        if (took := time.process_time() - began) > SLOW + SLOW_PER_BYTE * len(data):
            keep(target.name, data, f"took {took:.1f} s", "slow")
        if (grown := largest() - peak) > LARGE + LARGE_PER_BYTE * len(data):
            keep(target.name, data, f"took {grown / 1e6:.0f} MB", "large")

    options = [
        f"-max_total_time={max(1, int(seconds - (time.monotonic() - BEGAN)))}",
        f"-artifact_prefix={out}/",
        f"-timeout={HANG}",
        f"-rss_limit_mb={largest() // 10**6 + GROWTH}",
        "-max_len=65536",
    ]
    words = folder / "words"
    every = dict.fromkeys(word for target in targets for word in target.words)
    words.write_text(
        "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in every)
    )
    atheris.Setup([sys.argv[0], *options, f"-dict={words}", str(corpus)], one)
    atheris.Fuzz()


def largest() -> int:
    """The most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """What the command line asks for."""
    from fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="some of them; left out, all")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--out", type=Path, default=Path("findings"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    names, out = given.targets or list(TARGETS), given.out.resolve()
    if given.child:
        child(names, int(given.seconds), out)
    return parent(names, given.seconds, out)


if __name__ == "__main__":
    sys.exit(main())
