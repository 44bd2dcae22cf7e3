"""The row cache: the same rows without reading them, no stale or damaged ones, no text in it, and
never a reason to fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl import EmomtlError, Example, Files, MultiLabel, SingleLabel, Split, Task
from emomtl.compose import compose_file, recipes
from emomtl.data import tasks
from emomtl.data.bound_task import BoundTask, ReadOptions
from emomtl.data.cache import rows as row_cache
from emomtl.data.cache.store import cache_folder, entries
from emomtl.data.corpus import TaskData
from emomtl.data.locate import locate
from emomtl.data.tasks import read_tasks
from emomtl.data.texts import LazyTexts
from emomtl.manifest import TaskTable
from emomtl.plugins.discovery import Plugins

ROWS_OF_A_SPLIT = 30
SPLITS = ("train", "validation")


def mood(row: Mapping[str, Any]) -> Example | None:
    return Example(row["text"], row["label"])


def odd(row: Mapping[str, Any]) -> Example | None:
    """Every second row, with a second text."""
    return Example(row["text"], [row["label"]], f"and {row['n']}") if row["n"] % 2 else None


def loud(row: Mapping[str, Any]) -> Example | None:
    return Example(row["text"].upper(), row["label"])


def task(name: str, read: Any, **more: Any) -> Task:
    return Task(name, Files("*"), read, head=more.pop("head", SingleLabel()), **more)


MEMBERS = (task("mood", mood), task("loud", loud), task("odd", odd, head=MultiLabel()))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache of this test's own, in which every source is large enough to be kept."""
    monkeypatch.setenv("EMOMTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(row_cache, "FEWEST", 1)
    found = cache_folder()
    assert found is not None
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The tasks of each source that was read."""
    made: list[tuple[str, ...]] = []
    real = tasks.read_rows

    def spy(members: Mapping[str, Task], *more: Any) -> Any:
        made.append(tuple(members))
        return real(members, *more)

    monkeypatch.setattr(tasks, "read_rows", spy)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in SPLITS:
        write(tmp_path / "rows" / f"{split}.jsonl")
    return tmp_path


def write(path: Path, last: str = "last") -> None:
    path.parent.mkdir(exist_ok=True)
    labels = ["joy", "anger", "fear"]
    rows = [
        {"text": f"secret {n}", "label": labels[n % 3], "n": n} for n in range(ROWS_OF_A_SPLIT - 1)
    ]
    rows.append({"text": last, "label": "joy", "n": ROWS_OF_A_SPLIT - 1})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def given(folder: Path, *members: Task, **more: Any) -> list[BoundTask]:
    return [
        BoundTask(m.name, m, m.head, TaskTable(**more), locate(m.layouts, "rows", folder, m.name))
        for m in members
    ]


def read(inputs: list[BoundTask], notes: list[str] | None = None, **more: Any) -> TaskData:
    recipes = dict.fromkeys([task.name for task in inputs], "as it was")
    options: dict[str, Any] = {
        "recipes": recipes,
        "note": (notes if notes is not None else []).append,
    }
    return read_tasks(inputs, ReadOptions(**{"splits": SPLITS, **options, **more}))


def same(one: TaskData, other: TaskData) -> bool:
    """Whether two readings are equal in all that a run, a report or a record sees of them."""
    assert [corpus.name for corpus in one.corpora] == [corpus.name for corpus in other.corpora]
    for mine, theirs in zip(one.corpora, other.corpora, strict=True):
        assert (mine.identity, mine.tasks, mine.sensitive) == (
            theirs.identity,
            theirs.tasks,
            theirs.sensitive,
        )
        assert list(mine.splits) == list(theirs.splits)
        for split, part in mine.splits.items():
            kept = theirs.splits[split]
            assert np.array_equal(part.keys, kept.keys)
            assert part.digest == kept.digest
            assert list(part.texts) == list(kept.texts)
            assert (part.pairs is None) == (kept.pairs is None)
            assert list(part.pairs or ()) == list(kept.pairs or ())
        for place, rows in mine.rows.items():
            assert np.array_equal(rows.index, theirs.rows[place].index)
            assert np.array_equal(
                rows.targets, theirs.rows[place].targets, equal_nan=rows.targets.dtype.kind == "f"
            )
            assert rows.targets.dtype == theirs.rows[place].targets.dtype
    names = {task: found and list(found.names) for task, found in one.taxonomies.items()}
    assert names == {task: found and list(found.names) for task, found in other.taxonomies.items()}
    assert list(one.taxonomies) == list(other.taxonomies)
    return (one.notes, one.counted, one.fingerprints, one.sizes) == (
        other.notes,
        other.counted,
        other.fingerprints,
        other.sizes,
    )


def test_a_second_start_has_the_same_rows_and_reads_none(
    folder: Path, cache: Path, reads: list[tuple[str, ...]]
) -> None:
    plain = read_tasks(given(folder, *MEMBERS), ReadOptions(SPLITS))
    cold = read(given(folder, *MEMBERS))
    assert len(reads) == 2
    warm = read(given(folder, *MEMBERS))
    assert len(reads) == 2
    texts = warm.corpora[0].splits["train"].texts
    assert isinstance(texts, LazyTexts)
    assert len(texts) == ROWS_OF_A_SPLIT
    assert same(plain, cold)
    assert same(plain, warm)
    # the texts were asked for, so the source was read, once
    assert reads == [("mood", "loud", "odd")] * 3
    assert texts[1] == "secret 1"
    assert texts[:2] == ["secret 0", "secret 1"]


def test_an_entry_holds_no_text_and_the_command_shows_it(
    folder: Path, cache: Path, cli: Any
) -> None:
    read(given(folder, *MEMBERS))
    (entry,) = entries(cache)
    assert not any(
        b"ecret" in path.read_bytes() or b"ECRET" in path.read_bytes()
        for path in entry.folder.iterdir()
    )
    (shown,) = json.loads(cli("cache", "list", "--json").out)["entries"]
    assert (shown["holds"], shown["corpus"], shown["split"]) == (
        "rows",
        "mood, loud, odd",
        "train, validation",
    )
    assert "cleared 1 entries" in cli("cache", "clear").err
    assert list(cache.iterdir()) == []


CHANGES: dict[str, Callable[[list[BoundTask]], list[BoundTask]]] = {
    "a limit": lambda inputs: [replace(one, table=TaskTable(limit=5)) for one in inputs],
    "a limit of validation": lambda inputs: [
        replace(one, table=TaskTable(eval_limit=5)) for one in inputs
    ],
    "another name": lambda inputs: [replace(one, name=f"{one.name}-too") for one in inputs],
    "fewer tasks": lambda inputs: inputs[:1],
    "another order": lambda inputs: inputs[::-1],
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_the_rows_has_another_key(
    folder: Path, cache: Path, reads: list[tuple[str, ...]], change: str
) -> None:
    read(given(folder, *MEMBERS))
    changed = CHANGES[change](given(folder, *MEMBERS))
    assert same(read(changed), read_tasks(changed, ReadOptions(SPLITS)))
    assert len(reads) == 3
    assert len(entries(cache)) == 2


def test_other_options_of_reading_and_other_content_have_another_key(
    folder: Path, cache: Path, reads: list[tuple[str, ...]]
) -> None:
    inputs = given(folder, *MEMBERS)
    read(inputs)
    read(inputs, on_bad_row="skip")
    read(inputs, splits=("train",))
    read(inputs, recipes=dict.fromkeys(("mood", "loud", "odd"), "another"))
    write(folder / "rows" / "validation.jsonl", "changed")
    assert read(given(folder, *MEMBERS)).corpora[0].splits["validation"].texts[-1] == "changed"
    assert len(reads) == 5
    assert len(entries(cache)) == 5


def test_rows_without_a_recipe_and_noisy_labels_are_not_kept(folder: Path, cache: Path) -> None:
    read(given(folder, *MEMBERS), recipes={})
    read(given(folder, *MEMBERS, label_noise=0.5))
    assert entries(cache) == []


def test_sensitive_bad_and_leaking_rows_are_not_kept(folder: Path, cache: Path) -> None:
    inputs = given(folder, MEMBERS[0], task("private", loud, sensitive=True))
    assert read(inputs).corpora[0].sensitive
    read(given(folder, *MEMBERS), leaks="count")
    with (folder / "rows" / "train.jsonl").open("a") as rows:
        rows.write(json.dumps({"text": 5, "label": "joy", "n": 0}) + "\n")
    assert "1 bad rows" in " ".join(read(given(folder, MEMBERS[0]), on_bad_row="skip").notes)
    with pytest.raises(EmomtlError, match="the text is int"):
        read(given(folder, MEMBERS[0]))
    assert entries(cache) == []


def test_small_sources_are_not_kept(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_cache, "FEWEST", 2 * ROWS_OF_A_SPLIT + 1)
    read(given(folder, MEMBERS[0]))
    assert entries(cache) == []


def test_texts_of_a_changed_source_are_refused(folder: Path, cache: Path) -> None:
    inputs = given(folder, *MEMBERS)
    read(inputs)
    warm = read(inputs)
    write(folder / "rows" / "train.jsonl", "changed")
    assert len(warm.corpora[0].splits["train"].texts) == ROWS_OF_A_SPLIT
    assert list(warm.corpora[0].splits["validation"].texts)
    with pytest.raises(
        EmomtlError, match="the train rows of a source changed while they were in use"
    ):
        list(warm.corpora[0].splits["train"].texts)


def test_a_damaged_entry_is_said_removed_and_made_again(
    folder: Path, cache: Path, reads: list[tuple[str, ...]]
) -> None:
    plain = read_tasks(given(folder, *MEMBERS), ReadOptions(SPLITS))
    read(given(folder, *MEMBERS))
    (entry,) = entries(cache)
    for path in sorted(entry.folder.iterdir()):
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
        notes: list[str] = []
        assert same(read(given(folder, *MEMBERS), notes), plain)
        assert len(notes) == 1
        assert "the cache's entry" in notes[0]
        assert "is damaged (" in notes[0]
        assert same(read(given(folder, *MEMBERS), notes), plain)
        assert len(notes) == 1


def test_a_cache_below_a_file_costs_one_note(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOMTL_CACHE", str(folder / "rows" / "train.jsonl" / "cache"))
    notes: list[str] = []
    assert same(
        read(given(folder, *MEMBERS), notes),
        read_tasks(given(folder, *MEMBERS), ReadOptions(SPLITS)),
    )
    assert len(notes) == 1
    assert notes[0].startswith("the cache ")


def recipe(manifest: Path) -> dict[str, str]:
    return recipes(compose_file(manifest, [], Plugins.discover()))


def test_a_recipe_has_options_heads_and_code(desk: Any, install: Any) -> None:
    source = (
        "from emomtl import *\nfrom our_labels import LABELS\n\ndef read(row):\n    return"
        " Example(row['text'], row['label'])\n\n@hookimpl\ndef emomtl_tasks():\n    return"
        " [Task('ours', Files('*', delimiter=',', split_column='part'), read, Taxonomy(LABELS),"
        " head=SingleLabel())]\n"
    )
    labels = "LABELS = ['joy', 'anger', 'sadness']\n"
    before = recipe(desk.manifest())
    assert before == recipe(desk.manifest())
    multi = recipe(desk.manifest(tasks={"mood": {"head": {"use": "multi-label"}}}))
    assert (multi["mood"] != before["mood"], multi["topics"]) == (True, before["topics"])
    assert (
        recipe(desk.manifest(tasks={"mood": {"options": {"separator": "/"}}}))["mood"]
        != before["mood"]
    )
    words = {"tasks": {"words": {"use": "masked-tokens", "options": {"of": "mood"}}}}
    derived = recipe(desk.manifest(**words))
    words["tasks"]["mood"] = {"options": {"separator": "/"}}
    assert recipe(desk.manifest(**words))["words"] != derived["words"]
    (desk.folder / "alone.py").write_text(source.replace("from our_labels import LABELS", labels))
    single = desk.manifest(
        plugins=["alone.py"], tasks={"mood": None, "topics": None, "ours": {"source": "mood.csv"}}
    )
    assert recipe(single) == {}
    install("ours", {"our_tasks": source, "our_labels": labels}, {"ours": "our_tasks"})
    assert set(
        recipe(desk.manifest(tasks={"mood": None, "topics": None, "ours": {"source": "mood.csv"}}))
    ) == {"ours"}


def test_a_run_from_the_cache_is_the_same_run(
    desk: Any,
    cache: Path,
    reads: list[tuple[str, ...]],
    contents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from emomtl.data.cache import tokens as token_cache

    monkeypatch.setattr(token_cache, "FEWEST", 1)
    first = desk.train(desk.manifest(), "first")
    second = desk.train(desk.manifest(), "second")
    assert reads == [("mood",), ("topics",)]
    assert [entry.facts["holds"] for entry in entries(cache)].count("rows") == 2
    mine, theirs = contents(first, "last"), contents(second, "last")
    assert mine == theirs


def test_a_split_that_a_task_makes_itself_is_kept_too(folder: Path, cache: Path) -> None:
    (folder / "rows" / "validation.jsonl").unlink()
    inputs = given(folder, task("mood", mood, split=Split(validation=0.2, test=0.2)))
    plain = read_tasks(inputs, ReadOptions(SPLITS))
    assert len(plain.corpora[0].splits["validation"])
    for _ in range(2):
        assert same(read(inputs), plain)
    assert len(entries(cache)) == 1
