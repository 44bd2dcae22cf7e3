"""How long a manifest takes until its rows and tokens are there: without a cache, with an empty
one, and from a full one.

    python tests/benchmarks/start.py MANIFEST [--set KEY=VALUE ...] [--turns 3]

Each start is a process of its own, so that its peak of memory is its own, too; imports are not
counted. The kinds of start take turns. Printed are seconds of processor time (medians), their ratio
to a later start with the least and greatest ratio of one turn, and how far the peak of memory rose
above what was there after the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json, resource, sys, time
from pathlib import Path
from transformers import AutoTokenizer
from emomtl.compose import compose_file
from emomtl.plugins.discovery import Plugins
from emomtl.train import Display
from emomtl.train.reading import read, tokenise_all
plan = compose_file(Path(sys.argv[1]), sys.argv[2:], Plugins.discover())
tokenizer = AutoTokenizer.from_pretrained(plan.encoder.where)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, clock, busy = peak(), time.perf_counter(), time.process_time()
data = read(plan, Display())
tokens = tokenise_all(data, tokenizer, plan.encoder, Display())
seconds = time.process_time() - busy, time.perf_counter() - clock
print(json.dumps({"busy": seconds[0], "clock": seconds[1], "mib": peak() - before, "rows": sum(data.sizes.values())}))
"""


def one(cache: str, manifest: Path, changes: list[str]) -> dict[str, float]:
    """A start in a process of its own."""
    environment = os.environ | {"EMOMTL_CACHE": cache, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, manifest, *changes],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    turns: list[dict[str, dict[str, float]]] = []
    for _ in range(given.turns):
        with tempfile.TemporaryDirectory() as folder:
            kinds = {"without a cache": "off", "first": folder, "later": folder}
            turns.append(
                {kind: one(cache, given.manifest, given.set) for kind, cache in kinds.items()}
            )
    print(f"{turns[0]['later']['rows']:,.0f} training rows, {len(turns)} turns")
    for kind in turns[0]:
        ratios = [turn[kind]["busy"] / turn["later"]["busy"] for turn in turns]
        busy, clock, mib = (
            statistics.median(turn[kind][what] for turn in turns)
            for what in ("busy", "clock", "mib")
        )
        spread = (
            f"{statistics.median(ratios):.1f} times a later start ({min(ratios):.1f} to"
            f" {max(ratios):.1f})"
        )
        print(
            f"{kind}: {busy:.2f} s busy, {clock:.2f} s on the clock, {spread}; {mib:,.0f} MiB more"
        )


if __name__ == "__main__":
    main()
