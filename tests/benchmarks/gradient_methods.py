"""What a weighting costs: the time of a step beside that of the plain sum, in turns within one
process, on the same rows.

    python tests/benchmarks/gradient_methods.py GOEMOTIONS [--steps 30] [--only pcgrad,famo]
    [--accumulate 1]

Two tasks of one corpus (28 labels and Ekman's seven) share each text, minilm, batch size 16 a task,
one thread. For each weighting the ratio (time of its step) / (time of the plain sum's step) is the
geometric mean over steps with its standard error; `rows` are the mebibytes of gradients that it
keeps beside the model's own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

WEIGHTINGS = {
    "equal": {},
    "uncertainty": {},
    "geometric-mean": {},
    "famo": {},
    "gradnorm": {},
    "pcgrad": {},
    "pcgrad-last-layer": {"use": "pcgrad", "scope": "last-layer"},
    "gradvac": {},
    "graddrop": {},
    "conflict-free": {},
    "mgda": {},
    "cagrad": {},
    "upgrad": {},
    "dualproj": {},
    "imtl-g": {},
    "nash-mtl": {},
    "fairgrad": {},
    "aligned-mtl": {},
}

MANIFEST = """name = "cost"
seed = 17
[encoder]
use = "minilm"
max_tokens = 48
[tasks.goemotions]
source = {source}
limit = 4000
eval_limit = 50
[tasks.goemotions-ekman]
source = {source}
limit = 4000
eval_limit = 50
[weighting]
{weighting}
[train]
steps = 10000
batch_size = 16
accumulate = {accumulate}
lr = 5e-5
threads = 1
"""


def sessions(corpus: Path, folder: Path, names: list[str], accumulate: int) -> dict[str, object]:
    """A session a weighting, ready to step."""
    from emomtl.compose import compose_file
    from emomtl.plugins.discovery import Plugins
    from emomtl.train import Display, start

    made = {}
    for number, name in enumerate(names):
        options = {"use": name, **WEIGHTINGS[name]}
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in options.items())
        manifest = folder / f"{number}.toml"
        source = json.dumps(str(corpus.resolve()))
        manifest.write_text(
            MANIFEST.format(source=source, weighting=lines, accumulate=accumulate), encoding="utf-8"
        )
        session = start(
            compose_file(manifest, [], Plugins.discover()), folder / f"run-{number}", Display()
        )
        session.run.close()
        session.model.train()
        made[name] = session
    return made


def main() -> None:
    """Measure and print."""
    from emomtl.train.step import remember, take_step

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--only", default=",".join(WEIGHTINGS))
    parser.add_argument("--accumulate", type=int, default=1)
    given = parser.parse_args()
    wanted = [name for name in WEIGHTINGS if name in given.only.split(",") and name != "equal"]
    print(f"{'weighting':20} {'ratio':>6} {'+-':>6} {'rows':>6}")
    for name in wanted:  # two at a time: each beside the plain sum, and no more memory than that
        with tempfile.TemporaryDirectory() as folder:
            both = sessions(given.corpus, Path(folder), ["equal", name], given.accumulate)
            times: dict[str, list[float]] = {side: [] for side in both}
            for step in range(given.steps + 3):
                for side in list(both) if step % 2 else list(both)[::-1]:
                    began = time.perf_counter()
                    remember(both[side], take_step(both[side]))
                    times[side].append(time.perf_counter() - began)
            logs = np.log(np.array(times[name])[3:] / np.array(times["equal"])[3:])
            kept = sum(
                b.numel() * b.element_size()
                for n, b in both[name].weighting.named_buffers()
                if n == "rows"
            )
            error = np.exp(logs.mean()) * logs.std(ddof=1) / np.sqrt(len(logs))
            print(
                f"{name:20} {np.exp(logs.mean()):6.2f} {error:6.2f} {kept / 2**20:6.0f}", flush=True
            )


if __name__ == "__main__":
    main()
