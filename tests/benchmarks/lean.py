"""What each part of emomtl/model/lean.py saves: the plain loop's model, changed part by part, in turns on the same batches.

    python tests/benchmarks/lean.py CORPUS [--batches 30]

Ratios are (time of a step of torch's own layers) / (time with the parts), the geometric mean over batches with its
standard error, on one thread. Kept memory is a property of a whole process: it is measured by a child that has it and
one that has not, in turns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

PARTS = {"torch": "", "dropout": "D", "dropout+attention": "DA", "dropout+attention+linear": "DAL"}


def changed(model, parts: str):
    """The model with dropout (D), attention (A) and linear layers (L) from emomtl."""
    from torch import nn

    from emomtl.model import lean

    if "A" in parts:
        lean.make_lean(nn.Module(), model.encoder)
    wanted = {nn.Dropout: lean.Dropout} if "D" in parts else {}
    wanted |= {nn.Linear: lean.Linear} if "L" in parts else {}
    for module in model.modules():
        if type(module) in wanted:
            module.__class__ = wanted[type(module)]
    return model.train()


def child(pipe: Connection, corpus: Path, number: int, keep: bool, variants: dict[str, str]) -> None:
    """Seconds of each variant for each batch, when told."""
    import plain_loop
    import torch
    from transformers.utils import logging

    from emomtl.model.lean import keep_memory

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if keep:
        keep_memory()
    texts, labels = plain_loop.read(corpus / "train.tsv")
    sides = {}
    for name, parts in variants.items():
        model, tokenizer = plain_loop.setup(None)
        sides[name] = (changed(model, parts), *plain_loop.optimiser(model, 10_000))
    tokens = tokenizer(texts[:6400], truncation=True, max_length=plain_loop.MAX_TOKENS)["input_ids"]
    for rows in plain_loop.batches(tokens, 0)[:number]:
        pipe.recv()
        seconds = {}
        for name, (model, adam, schedule) in sides.items():
            began = time.perf_counter()
            plain_loop.step(model, tokens, labels, rows, adam, schedule)
            seconds[name] = time.perf_counter() - began
        pipe.send(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--batches", type=int, default=30)
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    pipes = []
    for keep, variants in ((False, {"torch": ""}), (True, PARTS)):
        mine, its = spawn.Pipe()
        spawn.Process(target=child, args=(its, given.corpus, given.batches, keep, variants), daemon=True).start()
        pipes.append(mine)
    times: dict[str, list[float]] = {}
    for _ in range(given.batches):
        for pipe, prefix in zip(pipes, ("", "kept memory, "), strict=True):
            pipe.send(True)
            for name, seconds in pipe.recv().items():
                times.setdefault(prefix + name, []).append(seconds)
    first = np.array(times["torch"])[3:]
    for name, seconds in times.items():
        logs = np.log(first / np.array(seconds)[3:])
        print(f"{name:40} {np.exp(logs.mean()):.3f} ± {logs.std(ddof=1) / np.sqrt(len(logs)):.3f}")


if __name__ == "__main__":
    main()
