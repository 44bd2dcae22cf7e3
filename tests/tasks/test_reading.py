"""What `read` makes of a row in each known layout; the rows are invented, their form is that of the
published files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError, Example, Files, Hub, Task
from emomtl_tasks.goemotions import GoEmotions, GoEmotionsEkman, GoEmotionsSentiment
from emomtl_tasks.sentiment140 import COLUMNS, TRAINING_ROWS, Sentiment140, is_training_row

ReadFile = Callable[[Files, Path], Iterator[dict[str, Any]]]


def file_layouts(task: Task) -> list[Files]:
    return [layout for layout in task.layouts if isinstance(layout, Files)]


# GoEmotions


@pytest.mark.parametrize("labels", ["2,14", [2, 14], (2, 14)])
def test_goemotions_reads_numbers_as_text_and_as_a_list(labels: Any) -> None:
    row = {"text": "Get off my porch, [NAME]!", "labels": labels, "id": "x1"}
    assert GoEmotions().read(row) == Example("Get off my porch, [NAME]!", ["anger", "fear"])
    assert GoEmotionsEkman().read(row) == Example("Get off my porch, [NAME]!", ["anger", "fear"])
    assert GoEmotionsSentiment().read(row) == Example("Get off my porch, [NAME]!", ["negative"])


def test_a_quoted_text_comes_without_doubled_quotes(tmp_path: Path, rows_of: ReadFile) -> None:
    path = tmp_path / "train.tsv"
    path.write_text(
        '"""So long"" she said, and left"\t25,27\tab1\nplain it is\t27\tab2\n', encoding="utf-8"
    )
    task = GoEmotions().task()
    read = [task.read(row) for row in rows_of(file_layouts(task)[0], path)]
    assert read == [
        Example('"So long" she said, and left', ["sadness", "neutral"]),
        Example("plain it is", ["neutral"]),
    ]


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (
            "17",
            {"goemotions": "joy", "goemotions-ekman": "joy", "goemotions-sentiment": "positive"},
        ),
        ("17,18", {"goemotions-ekman": "joy", "goemotions-sentiment": "positive"}),
        ("2,25", {"goemotions-sentiment": "negative"}),
        ("2,17", {}),
    ],
)
def test_the_single_label_form_keeps_rows_with_one_label(labels: str, kept: dict[str, str]) -> None:
    row = {"text": "made up", "labels": labels, "id": "x"}
    for family in (GoEmotions, GoEmotionsEkman, GoEmotionsSentiment):
        wanted = Example("made up", kept[family.name]) if family.name in kept else None
        assert family(form="single-label").task().read(row) == wanted


def test_a_number_that_is_no_emotion_is_refused() -> None:
    with pytest.raises(EmomtlError, match=r"28 is outside 0\.\.27"):
        GoEmotions().read({"text": "made up", "labels": "28"})


def test_the_three_goemotions_tasks_share_their_rows() -> None:
    first, *others = (
        family().task() for family in (GoEmotions, GoEmotionsEkman, GoEmotionsSentiment)
    )
    row = {"text": "Well done, [NAME]", "labels": [0, 17], "id": "x"}
    for other in others:
        assert other.sources is first.sources
        assert other.read(row).text is first.read(row).text is row["text"]


# SST-2


def test_sst2_from_the_hub_has_no_test_labels(offered: dict[str, Task]) -> None:
    read = offered["sst2"].read
    assert read({"idx": 0, "sentence": "a warm , funny film ", "label": 1}) == Example(
        "a warm , funny film", "positive"
    )
    assert read({"idx": 1, "sentence": "limp ", "label": -1}) == Example("limp", None)


def test_sst2_reads_glue_files_and_the_gold_test(
    offered: dict[str, Task], tmp_path: Path, rows_of: ReadFile
) -> None:
    task = offered["sst2"]
    (tmp_path / "train.tsv").write_text(
        'sentence\tlabel\n" a dull `` thriller \t0\nfine \t1\n', encoding="utf-8"
    )
    (tmp_path / "test-gold.tsv").write_text("a bore . \t0\n", encoding="utf-8")
    layout = file_layouts(task)[0]
    assert [task.read(row) for row in rows_of(layout, tmp_path / "train.tsv")] == [
        Example('" a dull `` thriller', "negative"),
        Example("fine", "positive"),
    ]
    gold = (layout.splits or {})["test"]
    assert isinstance(gold, Files)
    assert [task.read(row) for row in rows_of(gold, tmp_path / gold.path)] == [
        Example("a bore .", "negative")
    ]


def test_sst2_without_gold_labels_has_no_test_file(offered: dict[str, Task]) -> None:
    with_gold, without, _ = file_layouts(offered["sst2"])
    assert set(with_gold.splits or {}) - set(without.splits or {}) == {"test"}


# Sentiment140


def tweet(polarity: str, query: str, text: str) -> dict[str, str]:
    line = io.StringIO(
        f'"{polarity}","3","Mon May 11 03:17:40 UTC 2009","{query}","somebody","{text}"'
    )
    return dict(zip(COLUMNS, next(csv.reader(line)), strict=True))


def test_sentiment140_reads_the_six_columns_and_drops_neutral_rows() -> None:
    read = Sentiment140().task().read
    assert read(tweet("0", "NO_QUERY", "rain, again")) == Example("rain, again", "negative")
    assert read(tweet("4", "picnic", "sun at last")) == Example("sun at last", "positive")
    assert read(tweet("2", "picnic", "it is Tuesday")) is None


def test_sentiment140_reads_the_parquet_copy_and_the_hub() -> None:
    read = Sentiment140().task().read
    assert read({"label": 1, "text": "sun at last"}) == Example("sun at last", "positive")
    assert read({"label": 0, "text": "rain, again"}) == Example("rain, again", "negative")
    hub = next(layout for layout in Sentiment140().task().layouts if isinstance(layout, Hub))
    theirs = {
        "text": "sun at last",
        "date": "",
        "user": "somebody",
        "sentiment": 4,
        "query": "NO_QUERY",
    }
    ours = {(hub.columns or {}).get(name, name): value for name, value in theirs.items()}
    assert read(ours) == Example("sun at last", "positive")


def test_a_subset_keeps_every_test_row() -> None:
    read = Sentiment140(subset=TRAINING_ROWS // 10).task().read
    train = [tweet("4", "NO_QUERY", f"tweet number {i}") for i in range(4000)]
    test = [tweet("4", "picnic", f"tweet number {i}") for i in range(400)]
    assert 320 <= sum(read(row) is not None for row in train) <= 480
    assert all(read(row) is not None for row in test)


def test_subsets_are_nested_and_independent_of_the_split() -> None:
    families = [Sentiment140(subset=size) for size in (160_000, 800_000)]
    small, large = (
        {i for i in range(4000) if family.read({"label": 1, "text": f"tweet {i}"})}
        for family in families
    )
    assert small < large
    split = families[0].task().split
    assert split is not None
    share = sum(split.of(f"tweet {i}") == "validation" for i in small) / len(small)
    assert share < 0.05


def test_the_parquet_copy_holds_training_rows() -> None:
    assert is_training_row({"label": 1, "text": "sun at last"})
    assert not is_training_row(tweet("4", "picnic", "sun at last"))


# Suicide and depression, EmoBank


def test_a_post_over_several_lines_stays_one_text(
    offered: dict[str, Task], tmp_path: Path, rows_of: ReadFile
) -> None:
    task = offered["suicide-depression"]
    path = tmp_path / "Suicide_Detection.csv"
    path.write_text(
        ',text,class\n2,"Maths test.\n\nWho else ""studied""?",non-suicide\n', encoding="utf-8"
    )
    read = [task.read(row) for row in rows_of(file_layouts(task)[0], path)]
    assert read == [Example('Maths test.\n\nWho else "studied"?', "non-suicide")]


def test_the_suicide_task_is_sensitive_and_not_diagnostic(offered: dict[str, Task]) -> None:
    assert offered["suicide-depression"].sensitive
    assert "not a diagnostic tool" in offered["suicide-depression"].card
    assert not any(task.sensitive for name, task in offered.items() if name != "suicide-depression")


def test_emobank_reads_three_numbers_and_a_text_that_says_none(
    offered: dict[str, Task], tmp_path: Path, rows_of: ReadFile
) -> None:
    task = offered["emobank"]
    path = tmp_path / "emobank.csv"
    path.write_text(
        'id,split,V,A,D,text\na_1,train,3.0,2.5,3.25,None\na_2,dev,1,5,3,"Oh, no."\n',
        encoding="utf-8",
    )
    rows = list(rows_of(file_layouts(task)[0], path))
    assert [task.read(row) for row in rows] == [
        Example("None", (3.0, 2.5, 3.25)),
        Example("Oh, no.", (1.0, 5.0, 3.0)),
    ]
    assert [row[file_layouts(task)[0].split_column or ""] for row in rows] == ["train", "dev"]
    assert task.head.encode((3.0, 2.5, 3.25), None).tolist() == [3.0, 2.5, 3.25]
