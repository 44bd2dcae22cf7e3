"""What each part of emomtl/model/fast/cpu.py saves: the plain loop's model, changed part by part,
in turns on the same batches.

    python tests/benchmarks/cpu_kernels.py CORPUS [--batches 30] [--compiled]

Ratios are (time of a step of torch's own layers) / (time with the parts), the geometric mean over
batches with its standard error, on one thread. Texts are read from their first token (`cls`).
--compiled puts torch's own encoder beside them, compiled by torch.compile for lengths that vary,
and says how long its first two steps took.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

PARTS = {
    "torch": "",
    "dropout": "D",
    "dropout+attention": "DA",
    "dropout+attention+linear": "DAL",
    "... +word gradient": "DALW",
    "... +first token": "DALWF",
}
"""Dropout (D), attention (A), linear layers (L), the word embedding's gradient (W), the first token
(F).
"""

COMPILED = {"torch.compile": "C"}
FIRST = 5
"""Steps of a side that are not counted: they compile, and fill caches."""


def changed(model, parts: str):
    """The model with these parts, each by its letter."""
    from torch import nn

    from emomtl.model.fast import cpu
    from emomtl.model.fast.cpu import use_cpu_kernels
    from emomtl.model.fast.first_token import read_first_token
    from emomtl.model.fast.word_gradient import keep_gradient

    if "A" in parts:
        use_cpu_kernels(nn.Module(), model.encoder)
    wanted = {nn.Dropout: cpu.Dropout} if "D" in parts else {}
    wanted |= {nn.Linear: cpu.Linear} if "L" in parts else {}
    for module in model.modules():
        if type(module) in wanted:
            module.__class__ = wanted[type(module)]
    if "W" in parts:
        keep_gradient(model.encoder)
    if "F" in parts:
        read_first_token(model.encoder)
    if "C" in parts:
        model.encoder.compile(dynamic=True)
    return model.train()


def main() -> None:
    """Measure and print."""
    import plain_loop
    import torch
    from transformers.utils import logging

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--compiled", action="store_true")
    given = parser.parse_args()
    compared = PARTS | (COMPILED if given.compiled else {})
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    sides = {}
    for name, parts in compared.items():
        model, tokenizer = plain_loop.setup(None, "cls")
        sides[name] = (changed(model, parts), *plain_loop.optimiser(model, 10_000))
    texts, labels = plain_loop.read(given.corpus / "train.tsv")
    tokens = tokenizer(texts[:6400], truncation=True, max_length=plain_loop.MAX_TOKENS)["input_ids"]
    times: dict[str, list[float]] = {name: [] for name in compared}
    for rows in plain_loop.batches(tokens, 0)[: given.batches]:
        for name, (model, adam, schedule) in sides.items():
            began = time.perf_counter()
            plain_loop.step(model, tokens, labels, rows, adam, schedule)
            times[name].append(time.perf_counter() - began)
    first = np.array(times["torch"])[FIRST:]
    for name, seconds in times.items():
        logs = np.log(first / np.array(seconds)[FIRST:])
        compiling = f"   its first two steps: {sum(seconds[:2]):.0f} s" if name in COMPILED else ""
        print(
            f"{name:30} {np.exp(logs.mean()):.3f} ±"
            f" {logs.std(ddof=1) / np.sqrt(len(logs)):.3f}{compiling}"
        )


if __name__ == "__main__":
    main()
