"""The declared layouts over the real corpora: sizes and label counts are those that the authors
print.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from emomtl import Example, Files, Task, TaskFamily
from emomtl_tasks.goemotions import GoEmotions, GoEmotionsEkman, GoEmotionsSentiment
from emomtl_tasks.sentiment140 import Sentiment140, is_training_row

ReadFile = Callable[[Files, Path], Iterator[dict[str, Any]]]


def read_splits(
    task: Task, layout: Files, folder: Path, rows_of: ReadFile
) -> dict[str, list[Example]]:
    """The examples of each split that the layout names, rows that `read` drops left out."""
    found = {}
    for split, file in (layout.splits or {}).items():
        inner = file if isinstance(file, Files) else layout
        name = file.path if isinstance(file, Files) else file
        read = (task.read(row) for row in rows_of(inner, folder / name))
        found[split] = [example for example in read if example is not None]
    return found


def counts(examples: list[Example]) -> Counter[str]:
    """How many examples have each label."""
    found: Counter[str] = Counter()
    for example in examples:
        found.update(
            [example.label] if isinstance(example.label, str) else cast("list[str]", example.label)
        )
    return found


def files(task: Task, place: int = 0) -> Files:
    return [layout for layout in task.layouts if isinstance(layout, Files)][place]


@pytest.mark.parametrize("form", ["multi-label", "single-label"])
@pytest.mark.parametrize("family", [GoEmotions, GoEmotionsEkman, GoEmotionsSentiment])
def test_goemotions_has_the_published_sizes_and_counts_in_every_form(
    corpora: Path, rows_of: ReadFile, family: type[TaskFamily], form: str
) -> None:
    task = family(form=form).task()
    found = read_splits(task, files(task), corpora / "goemotions", rows_of)
    assert task.published is not None
    assert {split: len(examples) for split, examples in found.items()} == task.published.sizes
    for split, published in task.published.labels.items():
        assert counts(found[split]) == published
    assert set(counts(found["test"])) == set(task.taxonomy or ())


def test_goemotions_texts_lose_only_csv_quotes(corpora: Path, rows_of: ReadFile) -> None:
    task = GoEmotions().task()
    found = read_splits(task, files(task), corpora / "goemotions", rows_of)
    quoted = {}
    for split, name in (files(task).splits or {}).items():
        lines = (corpora / "goemotions" / str(name)).read_text(encoding="utf-8").split("\n")
        cells = [line.split("\t")[0] for line in lines if line]
        quoted[split] = sum(cell.startswith('"') for cell in cells)
        plain = [cell[1:-1].replace('""', '"') if cell.startswith('"') else cell for cell in cells]
        assert [example.text for example in found[split]] == plain
    assert quoted == {"train": 1_097, "validation": 137, "test": 149}


def test_sst2_has_the_published_sizes_and_counts(
    corpora: Path, rows_of: ReadFile, offered: dict[str, Task]
) -> None:
    task = offered["sst2"]
    found = read_splits(task, files(task), corpora / "sst2", rows_of)
    assert task.published is not None
    assert {split: len(examples) for split, examples in found.items()} == task.published.sizes
    assert {split: counts(found[split]) for split in task.published.labels} == task.published.labels
    assert counts(found["test"]) == {"negative": 912, "positive": 909}


def test_sentiment140_has_359_test_rows(corpora: Path, rows_of: ReadFile) -> None:
    task = Sentiment140(subset=1000).task()
    test = (files(task, 1).splits or {})["test"]
    assert isinstance(test, Files)
    rows = list(rows_of(test, corpora / "sentiment140" / test.path))
    read = [example for example in map(task.read, rows) if example is not None]
    assert len(read) == 359
    assert task.published is not None
    assert counts(read) == task.published.labels["test"]
    assert not any(map(is_training_row, rows))


def test_sentiment140_in_parquet_has_all_rows_or_a_subset(corpora: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = parquet.ParquetFile(corpora / "sentiment140" / "train.parquet")
    published = Sentiment140().task().published
    assert published is not None
    assert file.metadata.num_rows == published.sizes["train"]
    rows = next(file.iter_batches(batch_size=20_000)).to_pylist()
    assert all(Sentiment140().read(row) is not None for row in rows)
    kept = sum(Sentiment140(subset=160_000).read(row) is not None for row in rows)
    assert kept / len(rows) == pytest.approx(0.1, abs=0.01)


def test_every_suicide_sample_post_has_a_known_label(
    corpora: Path, rows_of: ReadFile, offered: dict[str, Task]
) -> None:
    task = offered["suicide-depression"]
    layout = files(task, 1)
    try:
        examples = [task.read(row) for row in rows_of(layout, corpora / "suicide" / layout.path)]
    except Exception as error:  # the traceback would show a post
        pytest.fail(f"a row does not read: {type(error).__name__}", pytrace=False)
    assert task.split is not None
    labels = Counter(example.label for example in examples if example is not None)
    splits = Counter(task.split.of(example.text) for example in examples if example is not None)
    assert labels == {"suicide": 7287, "non-suicide": 7284}
    assert {split: round(n / splits.total(), 2) for split, n in splits.items()} == pytest.approx(
        {"train": 0.8, "validation": 0.1, "test": 0.1}, abs=0.011
    )


def test_emobank_has_the_published_sizes_and_its_text_none(
    corpora: Path, rows_of: ReadFile, offered: dict[str, Task]
) -> None:
    task = offered["emobank"]
    layout = files(task)
    rows = list(rows_of(layout, corpora / "emobank" / layout.path))
    sizes = Counter("validation" if row["split"] == "dev" else row["split"] for row in rows)
    assert task.published is not None
    assert sizes == task.published.sizes
    examples = [task.read(row) for row in rows]
    assert sum(example is not None and example.text == "None" for example in examples) == 1
    assert None not in examples
    assert {len(task.head.encode(example.label, None)) for example in examples} == {3}
