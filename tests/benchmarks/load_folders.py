"""Synthetic loads for load.py: manifests over many tasks, labels or steps, and installed plugins,
in words of our own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

WORDS = (
    "day",
    "night",
    "friend",
    "home",
    "work",
    "film",
    "city",
    "music",
    "dinner",
    "train",
    "week",
    "game",
    "party",
    "street",
)
FEELINGS = ("joy", "anger", "sadness")

LISTENER = '''
"""Writes down memory and open files of the process each time it hears of steps, or of a checkpoint."""
import os
from emomtl import hookimpl
OUT = __OUT__
def note(step, what):
    with open("/proc/self/statm") as memory:
        pages = int(memory.read().split()[1])
    with open(OUT, "a") as out:
        print(step, what, pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd")), file=out)
@hookimpl
def emomtl_stepped(run, step, losses):
    note(step, "stepped")
@hookimpl
def emomtl_evaluated(run, step, scores):
    note(step, "evaluated")
'''

PLUGIN = '''
"""Offers one task and one sampler."""
from dataclasses import dataclass
from typing import ClassVar
from emomtl import Example, Files, Sampler, SingleLabel, Split, Task, Taxonomy, hookimpl
LABELS = Taxonomy(["joy", "anger", "sadness"])
def read(row):
    return Example(row["text"], row["label"])
@dataclass(frozen=True)
class Even(Sampler):
    def probabilities(self, moment):
        return {task: 1 / len(moment.sizes) for task in moment.sizes}
@hookimpl
def emomtl_tasks():
    source = Files("*", columns={"text": "text", "label": "label"})
    return [Task("__NAME__-task", source, read, LABELS, head=SingleLabel(), split=Split(validation=0.2, test=0.2))]
@hookimpl
def emomtl_samplers():
    return {"__NAME__-sampler": Even}
'''


def table(path: Path, labels: list[str], rows: dict[str, int], each: int, seed: int) -> Path:
    """Write a CSV of texts with `each` labels out of `labels`, every label in turn, so that none is
    without rows in train.
    """
    draw = np.random.default_rng(seed)
    lines = ["text,label,part"]
    for part, number in rows.items():
        first = draw.permutation(number * each) % len(labels)
        for place, mine in enumerate(first.reshape(number, each)):
            words = " ".join(draw.choice(WORDS, 6))
            said = "|".join(dict.fromkeys(labels[one] for one in mine))
            lines.append(f"{words} {' '.join(str(one) for one in mine)} {place},{said},{part}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def manifest(folder: Path, encoder: Path, tasks: dict[str, Any], **changes: Any) -> Path:
    """Write a manifest of the tiny encoder over tables, with two tables of keys laid over ours."""
    import tomli_w

    content: dict[str, Any] = {
        "name": folder.name,
        "seed": 1,
        **changes,
        "encoder": {"use": str(encoder), "max_tokens": 48, "pooling": "mean"},
        "tasks": tasks,
        "sampler": {"use": "proportional", "per_step": "one"},
        "weighting": {"use": "uncertainty"},
    }
    path = folder / "manifest.toml"
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    return path


def of_tasks(folder: Path, encoder: Path, size: int) -> Path:
    """A manifest of `size` tasks with 64 training rows each, trained for one epoch: two steps a
    task.
    """
    tasks = {}
    for number in range(size):
        name = f"task-{number:03d}"
        table(
            folder / f"{name}.csv",
            list(FEELINGS),
            {"train": 64, "validation": 24, "test": 24},
            1,
            number,
        )
        tasks[name] = {"use": "table", "source": f"{name}.csv", "options": {"split": "part"}}
    return manifest(folder, encoder, tasks, train={"epochs": 1, "batch_size": 32, "threads": 1})


def of_labels(folder: Path, encoder: Path, size: int, head: str = "multi-label") -> Path:
    """A manifest of one task with `size` labels, of which a text has two (or one); the number of
    rows is always the same.
    """
    each = 2 if head == "multi-label" else 1
    labels = [f"label-{number:04d}" for number in range(size)]
    table(
        folder / "texts.csv", labels, {"train": 8000, "validation": 2000, "test": 2000}, each, size
    )
    one = {
        "use": "table",
        "source": "texts.csv",
        "options": {"split": "part"},
        "head": {"use": head},
    }
    return manifest(
        folder, encoder, {"labelled": one}, train={"epochs": 1, "batch_size": 32, "threads": 1}
    )


def of_steps(folder: Path, encoder: Path, size: int, out: Path) -> Path:
    """A manifest of two tasks for `size` steps: all that is due is due often, and a listener writes
    what it sees to `out`.
    """
    tasks = {}
    for number, name in enumerate(("one", "other")):
        table(
            folder / f"{name}.csv",
            list(FEELINGS),
            {"train": 400, "validation": 60, "test": 60},
            1,
            number,
        )
        tasks[name] = {"use": "table", "source": f"{name}.csv", "options": {"split": "part"}}
    (folder / "listener.py").write_text(
        LISTENER.replace("__OUT__", repr(str(out))), encoding="utf-8"
    )
    every: dict[str, Any] = {
        "eval": {"every": 500},
        "checkpoint": {"every": 250},
        "plugins": ["./listener.py"],
    }
    train = {"steps": size, "batch_size": 8, "log_every": 10, "threads": 1}
    return manifest(folder, encoder, tasks, train=train, **every)


def of_plugins(folder: Path, encoder: Path, size: int) -> Path:
    """A manifest that uses one of `size` distributions, installed in the folder `site`; `all.toml`
    names them all, twice.
    """
    for number in range(size):
        name = f"load-{number:03d}"
        module = name.replace("-", "_")
        about = folder / "site" / f"emomtl_{module}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: emomtl-{name}\nVersion: 1.0\n", encoding="utf-8"
        )
        entries = f"[emomtl]\n{name}-task = emomtl_{module}\n{name}-sampler = emomtl_{module}\n"
        (about / "entry_points.txt").write_text(entries, encoding="utf-8")
        source = PLUGIN.replace("__NAME__", name)
        (folder / "site" / f"emomtl_{module}.py").write_text(source, encoding="utf-8")
    table(folder / "texts.csv", list(FEELINGS), {"train": 64}, 1, 0)
    every = {f"load-{number:03d}-task": {"source": "texts.csv"} for number in range(size)}
    names = [f"emomtl-load-{number:03d}" for number in range(size)]
    manifest(folder, encoder, every, train={"steps": 4, "threads": 1}, plugins=names).rename(
        folder / "all.toml"
    )
    return manifest(
        folder,
        encoder,
        {"load-000-task": {"source": "texts.csv"}},
        train={"steps": 4, "threads": 1},
    )


def of_single_labels(folder: Path, encoder: Path, size: int) -> Path:
    """A manifest of one task with one label a text, out of `size`."""
    return of_labels(folder, encoder, size, "single-label")


def of_rows(folder: Path, encoder: Path, size: int, corpora: Path | None) -> tuple[Path, str]:
    """A manifest of about `size` training rows, of Sentiment140 where it is in `corpora`, and whose
    rows they are.
    """
    if corpora is not None and (corpora / "sentiment140" / "train.parquet").is_file():
        options = {"subset": size} if size < 1_600_000 else {}
        tasks = {"sentiment140": {"source": str(corpora / "sentiment140"), "options": options}}
        return manifest(folder, encoder, tasks, train={"epochs": 1}), "Sentiment140"
    table(folder / "texts.csv", list(FEELINGS), {"train": size, "validation": 2000}, 1, 0)
    tasks = {"texts": {"use": "table", "source": "texts.csv", "options": {"split": "part"}}}
    return manifest(folder, encoder, tasks, train={"epochs": 1}), "words of ours"
