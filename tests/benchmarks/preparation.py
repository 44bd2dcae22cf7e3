"""How long texts take to become tokens: emomtl's `tokenise` beside `Dataset.map`, and a start from
the token cache.

    python tests/benchmarks/preparation.py CORPUS [--rows N] [--repeats 3] [--encoder minilm]

CORPUS is a folder with Sentiment140's train.parquet. Both sides have the same texts, tokenizer and
maximum of 48 tokens, and take turns, first the one and then the other in front. `Dataset.map` runs
batched, in one process, into a fresh folder; whether the ids of both are equal is checked. The
cache lies in a folder of its own, which is removed. Every line ends with the ratio of the medians,
and the least and greatest ratio of one turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from emomtl.data.cache.tokens import corpus_tokens
from emomtl.data.corpus import Corpus, CorpusSplit, TaskData
from emomtl.data.tokens import Tokens, tokenise
from emomtl.plugins.discovery import Plugins

MAX_TOKENS = 48


def read(folder: Path, rows: int | None) -> list[str]:
    """The first texts of the training file, or all of them."""
    import pyarrow.parquet as pq

    texts: list[str] = []
    for batch in pq.ParquetFile(folder / "train.parquet").iter_batches(65536, columns=["text"]):
        texts += batch.column("text").to_pylist()
        if rows is not None and len(texts) >= rows:
            return texts[:rows]
    return texts


def mapped(texts: list[str], tokenizer: Any, folder: Path) -> Any:
    """The token ids as `datasets` prepares them, kept in files as it does by default."""
    from datasets import Dataset

    def encode(rows: dict[str, list[str]]) -> Any:
        return tokenizer(rows["text"], truncation=True, max_length=MAX_TOKENS)

    corpus = Dataset.from_dict({"text": texts})
    return corpus.map(
        encode, batched=True, remove_columns=["text"], cache_file_name=str(folder / "tokens.arrow")
    )


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    found = act()
    return time.perf_counter() - began, found


def line(name: str, over: list[float], under: list[float]) -> str:
    """Medians of both sides, their ratio, and how far single turns spread."""
    turns = [a / b for a, b in zip(over, under, strict=True)]
    middle = statistics.median(over), statistics.median(under)
    spread = f"(turns {min(turns):.2f} to {max(turns):.2f})"
    return f"{name}: {middle[0]:.2f} s / {middle[1]:.2f} s = {middle[0] / middle[1]:.2f} {spread}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--encoder", default="minilm")
    given = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    import transformers

    where = Plugins.discover().offer("encoder", given.encoder).value.locate()
    tokenizer = transformers.AutoTokenizer.from_pretrained(where)
    texts = read(given.corpus, given.rows)
    split = CorpusSplit(np.arange(len(texts)), texts)
    data = TaskData([Corpus("sentiment140", "here", {"train": split})], {}, {})
    notes: list[str] = []
    seconds: dict[str, list[float]] = {"tokenise": [], "map": [], "cold": [], "warm": []}

    def ours() -> Tokens:
        took, tokens = timed(lambda: tokenise(tokenizer, split, MAX_TOKENS))
        seconds["tokenise"].append(took)
        return tokens

    def theirs(folder: Path) -> Any:
        took, rows = timed(lambda: mapped(texts, tokenizer, folder))
        seconds["map"].append(took)
        return rows

    def cached(name: str) -> Tokens:
        took, found = timed(lambda: corpus_tokens(data, tokenizer, MAX_TOKENS, notes.append))
        seconds[name].append(took)
        return found["sentiment140", "train"]

    for turn in range(given.repeats):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["EMOMTL_CACHE"] = folder
            if turn % 2:
                rows, tokens = theirs(Path(folder)), ours()
            else:
                tokens, rows = ours(), theirs(Path(folder))
            ids = rows.with_format("arrow")["input_ids"].combine_chunks() if turn == 0 else None
            cold, warm = cached("cold"), cached("warm")
            assert np.array_equal(cold.ids, tokens.ids)
            assert np.array_equal(warm.ids, tokens.ids)
            assert ids is None or np.array_equal(ids.flatten().to_numpy(), tokens.ids)
            del rows, cold, warm, tokens, ids
    assert not notes, notes
    print(f"{len(texts):,} texts, {given.encoder}, {MAX_TOKENS} tokens, {given.repeats} turns")
    print(line("Dataset.map / tokenise", seconds["map"], seconds["tokenise"]))
    print(line("Dataset.map / first start with the cache", seconds["map"], seconds["cold"]))
    print(line("tokenise / start from the cache", seconds["tokenise"], seconds["warm"]))
    print(line("Dataset.map / start from the cache", seconds["map"], seconds["warm"]))


if __name__ == "__main__":
    main()
