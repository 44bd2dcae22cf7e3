"""What several processes cost and gain: measured here for a few, planned for many.

    torchrun --nproc-per-node 2 tests/benchmarks/ranks.py step CORPUS [--steps 12] [--accumulate 1]
    python tests/benchmarks/ranks.py draw CORPUS
    python tests/benchmarks/ranks.py plan

`step`: the time of a step of GoEmotions (minilm, 32 texts in all, one thread a process) by one
process alone, by all of them together, and by all of them with every gradient sent after the
backward pass; in turns, step by step, while the others wait.
`draw`: the host's time for the draw of one of N processes, and what the longest part of a batch
costs beside the mean one.
`plan`: the cost model of docs/performance.md for many GPUs; every assumption is an option.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

MANIFEST = """name = "ranks"
seed = 17
[encoder]
use = "minilm"
max_tokens = 48
[tasks.goemotions]
source = {source}
limit = {limit}
eval_limit = 50
[train]
steps = 10000
batch_size = {batch}
accumulate = {accumulate}
threads = 1
"""


def session_of(
    corpus: Path, folder: Path, ranks: Any, batch: int = 32, accumulate: int = 1, limit: int = 4000
) -> Any:
    """A session in a folder, ready to step."""
    from emomtl.compose import compose_file
    from emomtl.plugins.discovery import Plugins
    from emomtl.train import Display, start

    manifest = folder.with_suffix(f".{ranks.rank}.toml")
    source = json.dumps(str(corpus.resolve()))
    manifest.write_text(
        MANIFEST.format(source=source, batch=batch, accumulate=accumulate, limit=limit),
        encoding="utf-8",
    )
    session = start(compose_file(manifest, [], Plugins.discover()), folder, Display(), ranks)
    session.run.close()
    session.model.train()
    return session


def ratio(over: list[float], under: list[float]) -> str:
    """The geometric mean of quotients with its standard error."""
    logs = np.log(np.array(over) / np.array(under))
    return (
        f"{np.exp(logs.mean()):.2f} +-"
        f" {np.exp(logs.mean()) * logs.std(ddof=1) / math.sqrt(len(logs)):.2f}"
    )


def measure(given: argparse.Namespace) -> None:
    """Steps in turns; see `step` above."""
    from emomtl.model.parallel.ranks import ALONE, process_group
    from emomtl.train.reduction import Reduction
    from emomtl.train.step import remember, take_step

    last_pass, finish, waited = Reduction.last_pass, Reduction.finish, [0.0]

    def timed(self: Reduction, *arguments: Any) -> Any:
        began = time.perf_counter()
        found = finish(self, *arguments)
        waited[0] += time.perf_counter() - began
        return found

    def never_early(self: Reduction, plain: bool) -> Any:
        return last_pass(self, False)

    Reduction.finish = timed  # type: ignore[method-assign]
    names = ("alone", "together", "after")
    with process_group() as ranks:
        folder = Path(ranks.broadcast_object(tempfile.mkdtemp() if ranks.first else ""))
        sides = {
            "together": session_of(given.corpus, folder / "together", ranks, 32, given.accumulate)
        }
        sides["after"] = sides["together"]
        if ranks.first:
            sides["alone"] = session_of(given.corpus, folder / "alone", ALONE, 32, given.accumulate)
        clock: dict[str, list[float]] = {name: [] for name in names}
        waits: dict[str, list[float]] = {name: [] for name in names}
        work = dict.fromkeys(names, 0.0)
        for number in range(given.steps + 3):
            for side in names if number % 2 else names[::-1]:
                Reduction.last_pass = never_early if side == "after" else last_pass  # type: ignore[method-assign]
                ranks.barrier()
                waited[0], began, busy = 0.0, time.perf_counter(), time.process_time()
                if side in sides:
                    remember(sides[side], take_step(sides[side]))
                busy = time.process_time() - busy
                ranks.barrier()
                if number >= 3:
                    clock[side].append(time.perf_counter() - began)
                    waits[side].append(waited[0])
                    work[side] += busy
        total = dict(
            zip(names, ranks.reduce(np.array([work[name] for name in names])), strict=True)
        )
        if ranks.first:
            together = sides["together"]
            weights = sum(p.numel() for p in together.model.parameters())
            sent = together.reduction.bytes // (2 * (given.steps + 3))
            print(
                f"{ranks.world_size} processes, {given.steps} turns; {weights:,} parameters,"
                f" {sent:,} bytes sent a step"
            )
            for over, under in (("alone", "together"), ("alone", "after"), ("after", "together")):
                print(f"time of a step, {over} / {under}: {ratio(clock[over], clock[under])}")
            for side in ("together", "after"):
                share = np.sum(waits[side]) / np.sum(clock[side])
                print(
                    f"{side}: processor time of all / of one alone"
                    f" {total[side] / total['alone']:.3f}"
                )
                print(f"{side}: averaging after the backward pass takes {share:.0%} of the step")


def draws(given: argparse.Namespace) -> None:
    """The draw of one of N processes, each with 32 texts of the step's; no communication is in it."""
    from emomtl.data.batches import Stream
    from emomtl.model.parallel.ranks import ALONE, Ranks
    from emomtl.train.step import moment_of

    print(f"{'N':>5} {'rows':>7} {'draw ms':>8} {'longest / mean':>14}")
    with tempfile.TemporaryDirectory() as folder:
        for size in (1, 2, 8, 64, 512, 1000):
            session = session_of(
                given.corpus, Path(folder) / str(size), ALONE, 32 * size, limit=43410
            )
            feeder, moment = session.feeder, moment_of(session)
            spent, longest = [], []
            for step in range(12):
                at = replace(moment, step=step)
                session.state.positions["goemotions"] = 32 * size * step
                feeder.ranks = Ranks(size - 1, size)
                began = time.process_time()
                drawing = feeder.draw(session.plan.sampler, at, session.state)
                spent.append(time.process_time() - began)
                rows = next(iter(drawing.rows.values()))
                lengths = np.diff(next(iter(feeder.tokens.values())).starts)[rows]
                parts = [Ranks(rank, size).local_rows(lengths) for rank in range(size)]
                padded = np.array([len(part) * part.max() for part in parts])
                longest.append(padded.max() / padded.mean())
            print(
                f"{size:5} {32 * size:7} {1e3 * np.median(spent[2:]):8.2f}"
                f" {np.mean(longest):14.2f}",
                flush=True,
            )
    for power in (5, 6, 7):
        lengths = np.random.default_rng(0).integers(4, 48, 10**power)
        began = time.process_time()
        Stream("x", np.arange(10**power), lengths, 0, 32000, True).take(0, 1)
        print(f"the order of a pass over 10^{power} rows: {time.process_time() - began:.2f} s")


def plan(given: argparse.Namespace) -> None:
    """The model of docs/performance.md."""
    words, layers, width = given.embeddings * given.width, given.layers, given.width
    inner = 12 * layers * width**2
    rate = given.flops * given.utilisation
    print("    N  texts  draw  compute  reduce  exposed  gather  step ms  share      rows/s")
    for size in (1, 8, 64, 256, 1000):
        for texts in (32, 256, 2048):
            tokens = texts * given.tokens
            compute = (6 * inner * tokens + 12 * layers * width * tokens * given.tokens) / rate
            latency = 2 * math.ceil(math.log2(size)) * given.latency if size > 1 else 0.0
            link = given.local if size <= given.node else given.network
            moved = 2 * (size - 1) / size * 4 / link
            reduce = moved * (inner + words) + latency * math.ceil(4 * (inner + words) / 25 / 2**20)
            exposed = max(reduce - compute * 2 / 3, moved * words + latency) if size > 1 else 0.0
            gather = (
                2 * (size - 1) * texts * given.labels * 4 / link + 2 * latency if size > 1 else 0.0
            )
            draw = given.draw * size * texts
            step = draw + compute + exposed + gather
            times = (
                f"{1e3 * draw:5.1f} {1e3 * compute:8.1f} {1e3 * reduce:7.1f} {1e3 * exposed:8.1f}"
                f" {1e3 * gather:7.2f}"
            )
            print(
                f"{size:5} {texts:6} {times} {1e3 * step:8.1f} {compute / step:6.0%}"
                f" {size * texts / step:11,.0f}"
            )


def main() -> None:
    """Read what is asked, and do it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("step", "draw", "plan"))
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--accumulate", type=int, default=1)
    for name, value in (
        ("layers", 12),
        ("width", 768),
        ("embeddings", 31000),
        ("tokens", 64),
        ("labels", 28),
        ("node", 8),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, number in (
        ("flops", 990e12),
        ("utilisation", 0.3),
        ("local", 300e9),
        ("network", 25e9),
        ("latency", 10e-6),
        ("draw", 0.32e-6),
    ):
        parser.add_argument(f"--{name}", type=float, default=number)
    given = parser.parse_args()
    {"step": measure, "draw": draws, "plan": plan}[given.what](given)


if __name__ == "__main__":
    main()
