"""Training speed on one CUDA device: emomtl beside a tuned Trainer, and how much of the device's
matrix rate it uses.

    python tests/benchmarks/gpu.py CORPUS [--batch 1024] [--cycles 4] [--rehearse]

CORPUS is the folder with GoEmotions as published. Both sides train an encoder of BERT-base's shape
(12 layers, 768 wide, random weights, minilm's tokenizer) in bf16, at most 48 tokens, 1,024 texts a
step: about 20,000 real tokens. They take turns as in peers.py. Printed are the ratio of real tokens
per second with its 95% interval, and the model's arithmetic in real tokens (6 FLOP a parameter and
token, without embeddings and attention scores) as a part of the measured rate of bf16 matrix
products. The goals of docs/performance.md: at least 3 times the tuned Trainer, at least 45% of the
matrix rate.

Without a CUDA device it says that it did not run. `--rehearse` runs the script itself on the CPU
with two narrow layers in fp32; its figures say nothing about speed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from peers import TURN, TURNS, Setting, measure, ratio
from plain_loop import encoder_folder, tokenizer_of

SIDES = ["trainer-tuned", "emomtl"]
GOALS = {"ratio": 3.0, "share": 0.45}
ROWS = 43_410
"""Training rows of GoEmotions."""


def bert(folder: Path, layers: int, width: int) -> int:
    """Write a BERT of this shape with random weights; returns its parameters that are multiplied
    with.
    """
    import torch
    from transformers import BertConfig, BertModel

    from emomtl.train.profiling import non_embedding_parameters

    tokenizer = tokenizer_of(encoder_folder())
    torch.manual_seed(17)
    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            intermediate_size=4 * width,
        ),
        add_pooling_layer=False,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return non_embedding_parameters(model)


def main() -> None:
    """Measure and print."""
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--cycles", type=int, default=4)
    parser.add_argument("--rehearse", action="store_true")
    given = parser.parse_args()
    if not torch.cuda.is_available() and not given.rehearse:
        print("no CUDA device: nothing was measured")
        return
    from emomtl.train.profiling import matrix_rate

    device, precision, layers, width = (
        ("cpu", "fp32", 2, 64) if given.rehearse else ("cuda", "bf16", 12, 768)
    )
    with tempfile.TemporaryDirectory() as folder:
        parameters = bert(Path(folder), layers, width)
        epochs = 2 + (given.cycles + 1) * TURN * TURNS * given.batch // ROWS
        setting = Setting(folder, given.batch, precision=precision, epochs=epochs)
        speeds = measure(SIDES, given.corpus, given.cycles, torch.get_num_threads(), setting)
    rate = matrix_rate(given.batch * 20, width, 4 * width, device, precision)
    print(
        f"{'rehearsal, ' * given.rehearse}{given.cycles} cycles of {TURN * TURNS} steps a side,"
        f" {given.batch} texts a step"
    )
    mean, low, high = ratio(speeds["emomtl"], speeds["trainer-tuned"])
    print(f"emomtl / trainer-tuned {mean:.3f}  ({low:.3f} to {high:.3f}), goal {GOALS['ratio']}")
    for name in SIDES:
        tokens = float(np.mean(speeds[name]))
        share = 6 * parameters * tokens / rate
        print(
            f"{name}: {tokens:,.0f} real tokens/s, {share:.1%} of the matrix rate, goal"
            f" {GOALS['share']:.0%}"
        )


if __name__ == "__main__":
    main()
