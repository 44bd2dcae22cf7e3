"""The token cache: the same tokens without the tokenizer, no stale or damaged ones, and never a
reason for a run to fail.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl.contracts.encoder import Truncation
from emomtl.data.cache import store
from emomtl.data.cache import tokens as token_cache
from emomtl.data.cache.store import Store, cache_folder, entries, remove_entry
from emomtl.data.cache.tokens import FEWEST, corpus_tokens, key_of
from emomtl.data.corpus import Corpus, CorpusSplit, TaskData
from emomtl.data.tokens import Tokens, tokenise

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
TEXTS = [f"i was so happy {'today and so ' * (n % 7)}{n}" for n in range(FEWEST)]
PAIRS = [f"yes {n}" if n % 3 else "" for n in range(FEWEST)]


def load(encoder: Path) -> Any:
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(encoder)
    found.model_input_names = ["input_ids", "attention_mask", "token_type_ids"]
    return found


@pytest.fixture(scope="module")
def tokenizer(encoder: Path) -> Any:
    return load(encoder)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache of this test's own, not made yet."""
    monkeypatch.setenv("EMOMTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "corpora"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the splits that were tokenised."""
    made: list[int] = []

    def spy(tokenizer: Any, split: CorpusSplit, *more: Any) -> Tokens:
        made.append(len(split))
        return tokenise(tokenizer, split, *more)

    monkeypatch.setattr(token_cache, "tokenise", spy)
    return made


def split(texts: list[str], pairs: list[str] | None = None) -> CorpusSplit:
    return CorpusSplit(np.arange(len(texts)), texts, pairs)


def given(
    texts: list[str] = TEXTS, pairs: list[str] | None = None, sensitive: bool = False
) -> TaskData:
    return TaskData(
        [Corpus("mood", "here", {"train": split(texts, pairs)}, sensitive=sensitive)], {}, {}
    )


def read(
    tokenizer: Any,
    notes: list[str] | None = None,
    data: TaskData | None = None,
    max_tokens: int = 12,
) -> Tokens:
    return corpus_tokens(
        data or given(), tokenizer, max_tokens, (notes if notes is not None else []).append
    )["mood", "train"]


def same(one: Tokens, other: Tokens) -> bool:
    arrays = [(one.ids, other.ids), (one.starts, other.starts), (one.types, other.types)]
    equal = all(
        (a is None) == (b is None) and (a is None or (a.dtype == b.dtype and np.array_equal(a, b)))
        for a, b in arrays
    )
    return equal and (one.pad, one.cut) == (other.pad, other.cut)


def mapped(tokens: Tokens) -> bool:
    return isinstance(tokens.ids.base, np.memmap)


@pytest.mark.parametrize("pairs", [None, PAIRS])
def test_a_second_start_maps_the_same_tokens(
    tokenizer: Any, cache: Path, calls: list[int], pairs: list[str] | None
) -> None:
    data, notes, plain = given(pairs=pairs), [], tokenise(tokenizer, split(TEXTS, pairs), 12)
    cold, warm = read(tokenizer, notes, data), read(tokenizer, notes, data)
    assert calls == [FEWEST]
    assert notes == []
    assert mapped(cold)
    assert mapped(warm)
    assert same(cold, plain)
    assert same(warm, plain)
    rows = np.array([5, 1, 1999, 0])
    wanted = plain.batch(rows)
    assert set(wanted) == set(warm.batch(rows))
    assert all(
        np.array_equal(array, wanted[name]) and array.dtype == np.int64
        for name, array in warm.batch(rows).items()
    )


def test_a_second_run_tokenises_nothing(desk: Any, cache: Path, calls: list[int]) -> None:
    desk.table("mood", FEWEST, ["joy", "anger", "sadness"], seed=1)
    manifest = desk.manifest(train={"steps": 2})
    first = desk.begin(manifest, "first")
    tokenised = len(calls)
    second = desk.begin(manifest, "second")
    # a small corpus
    assert calls[tokenised:] == [
        len(texts) for texts in second.data.corpus("topics").splits.values()
    ]
    assert mapped(second.tokens["mood", "train"])
    assert same(first.tokens["mood", "train"], second.tokens["mood", "train"])
    first.run.close()
    second.run.close()


def test_using_a_tokenizer_does_not_change_its_key(encoder: Path) -> None:
    fresh = load(encoder)
    before = key_of(fresh, split(TEXTS), 12)
    fresh(TEXTS[:3], truncation=True, max_length=5, padding=True)
    assert key_of(fresh, split(TEXTS), 12) == before == key_of(load(encoder), split(TEXTS), 12)


def _with_token(tokenizer: Any) -> None:
    tokenizer.add_tokens(["[NAME]"])


def _cut_left(tokenizer: Any) -> None:
    tokenizer.truncation_side = "left"


@pytest.mark.parametrize("change", [_with_token, _cut_left])
def test_another_tokenizer_has_another_key(encoder: Path, change: Callable[[Any], None]) -> None:
    changed = load(encoder)
    change(changed)
    assert key_of(changed, split(TEXTS), 12) != key_of(load(encoder), split(TEXTS), 12)


def test_other_texts_pairs_and_lengths_have_other_keys(tokenizer: Any) -> None:
    long = "a" * 240
    keys = [
        key_of(tokenizer, split(TEXTS), 12),
        key_of(tokenizer, split(TEXTS), 13),
        key_of(tokenizer, split([*TEXTS[:-1], "x"]), 12),
        key_of(tokenizer, split(TEXTS[::-1]), 12),
        key_of(tokenizer, split(TEXTS, PAIRS), 12),
        key_of(tokenizer, split(["ab", "c"]), 12),
        key_of(tokenizer, split(["a", "bc"]), 12),
        key_of(tokenizer, split(["a", "b"], ["c", "d"]), 12),
        key_of(tokenizer, split(["a", "b", "c", "d"]), 12),
        key_of(tokenizer, split([long]), 12),
        key_of(tokenizer, split([long + "a"]), 12),
        key_of(tokenizer, split(TEXTS), 12, Truncation("tail")),
        key_of(tokenizer, split(TEXTS), 12, Truncation("head+tail", 3)),
        key_of(tokenizer, split(TEXTS), 12, Truncation("head+tail", 4)),
        key_of(tokenizer, split([long + "a" * 9]), 12, Truncation("tail")),
        key_of(tokenizer, split(["b" + long + "a" * 9]), 12, Truncation("tail")),
    ]
    assert len(set(keys)) == len(keys)


def test_a_text_that_changed_is_tokenised_again(
    tokenizer: Any, cache: Path, calls: list[int]
) -> None:
    read(tokenizer)
    changed = [*TEXTS[:-1], "sad"]
    assert same(read(tokenizer, data=given(changed)), tokenise(tokenizer, split(changed), 12))
    assert calls == [FEWEST, FEWEST]
    assert len(entries(cache)) == 2


def _flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _rewrite(entry: Path, name: str, array: Any) -> None:
    """Another array under a description that agrees with it."""
    with open(entry / name, "wb") as handle:
        np.save(handle, array, allow_pickle=False)
    facts = json.loads((entry / "entry.json").read_text())
    kind = {"type": array.dtype.str, "shape": list(array.shape)}
    facts["files"][name] = {
        "bytes": (entry / name).stat().st_size,
        "sha256": store.sha256_of(entry / name),
        **kind,
    }
    del facts["sha256"]
    facts["sha256"] = store.hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    (entry / "entry.json").write_text(json.dumps(facts))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped id": lambda entry: _flip(entry / "ids.npy", -9),
    "a flipped start": lambda entry: _flip(entry / "starts.npy", -9),
    "a flipped description": lambda entry: _flip(
        entry / "entry.json", (entry / "entry.json").read_bytes().index(b'"pad": ') + 7
    ),
    "ids cut short": lambda entry: os.truncate(entry / "ids.npy", 1000),
    "no ids": lambda entry: (entry / "ids.npy").unlink(),
    "no description": lambda entry: (entry / "entry.json").unlink(),
    "no JSON": lambda entry: (entry / "entry.json").write_text("[1"),
    "a list for a description": lambda entry: (entry / "entry.json").write_text("[1]"),
    "other types": lambda entry: _rewrite(entry, "ids.npy", np.zeros(9)),
    "two dimensions": lambda entry: _rewrite(entry, "ids.npy", np.zeros((3, 3), np.int32)),
    "starts that fall": lambda entry: _rewrite(
        entry, "starts.npy", np.load(entry / "starts.npy")[::-1].copy()
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_said_removed_and_made_again(
    tokenizer: Any, cache: Path, calls: list[int], damage: str
) -> None:
    plain = read(tokenizer)
    (entry,) = entries(cache)
    wanted = tokenise(tokenizer, split(TEXTS), 12)
    assert same(plain, wanted)
    del plain
    DAMAGES[damage](entry.folder)
    notes: list[str] = []
    assert same(read(tokenizer, notes), wanted)
    assert calls == [FEWEST, FEWEST]
    assert len(notes) == 1
    assert "is damaged (" in notes[0]
    assert entry.key[:12] in notes[0]
    assert "\n" not in notes[0]
    notes.clear()
    assert same(read(tokenizer, notes), wanted)
    assert notes == []
    assert calls == [FEWEST, FEWEST]


def test_builders_at_the_same_time_leave_one_good_entry(
    encoder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, write, found, notes = threading.Barrier(4), store._write, [], []

    def all_at_once(*arguments: Any) -> None:
        together.wait(30)
        write(*arguments)

    monkeypatch.setattr(store, "_write", all_at_once)
    tokenizers = [load(encoder) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda one=one: found.append(read(one, notes)))
        for one in tokenizers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes == []
    wanted = tokenise(tokenizers[0], split(TEXTS), 12)
    assert [same(tokens, wanted) and mapped(tokens) for tokens in found] == [True] * 4
    assert [path.name for path in cache.iterdir()] == [key_of(tokenizers[0], split(TEXTS), 12)]


def in_memory_with_one_note(tokenizer: Any, reason: str) -> None:
    notes: list[str] = []
    data = given()
    data.corpora[0].splits["validation"] = split(TEXTS[::-1])
    found = corpus_tokens(data, tokenizer, 12, notes.append)
    assert same(found["mood", "train"], tokenise(tokenizer, split(TEXTS), 12))
    assert same(found["mood", "validation"], tokenise(tokenizer, split(TEXTS[::-1]), 12))
    assert not mapped(found["mood", "train"])
    assert len(notes) == 1
    assert notes[0].startswith("the cache ")
    assert " is not used: " in notes[0]
    assert reason in notes[0]
    assert notes[0].endswith("; set EMOMTL_CACHE to a folder you own")


def test_a_cache_below_a_file_costs_one_note(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EMOMTL_CACHE", str(tmp_path / "file" / "cache"))
    in_memory_with_one_note(tokenizer, "Not a directory")


@ROOT_ONLY
@pytest.mark.parametrize("which", ["", "corpora"])
def test_a_folder_of_another_user_is_not_trusted(tokenizer: Any, cache: Path, which: str) -> None:
    cache.mkdir(parents=True, mode=0o700)
    os.chown(cache.parent / which, 12345, 12345)
    in_memory_with_one_note(tokenizer, "belongs to another user")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
@pytest.mark.parametrize("which", ["", "corpora"])
def test_a_folder_that_others_may_write_to_is_not_trusted(
    tokenizer: Any, cache: Path, mode: int, which: str
) -> None:
    cache.mkdir(parents=True, mode=0o700)
    (cache.parent / which).chmod(mode)
    in_memory_with_one_note(tokenizer, "other users may write to")
    assert list(cache.iterdir()) == []


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """Files of this process may not grow beyond `most` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_is_one_note(tokenizer: Any, cache: Path) -> None:
    with small_files(20_000):
        in_memory_with_one_note(tokenizer, " written")
    assert list(cache.iterdir()) == []


def test_a_full_disk_costs_one_note_and_leaves_nothing(
    tokenizer: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = np.save

    def full(handle: Any, array: Any, **more: Any) -> None:
        save(handle, array[:5], **more)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    in_memory_with_one_note(tokenizer, "No space left on device")
    assert list(cache.iterdir()) == []


def test_texts_of_a_sensitive_corpus_leave_nothing(tokenizer: Any, cache: Path) -> None:
    assert not mapped(read(tokenizer, data=given(sensitive=True)))
    assert not cache.exists()


def test_a_run_of_a_sensitive_task_leaves_nothing(desk: Any, cache: Path) -> None:
    desk.table("mood", FEWEST, ["joy", "anger", "sadness"], seed=1)
    source = (
        "from emomtl import *\nfrom pathlib import Path\n\ndef read(row):\n    return"
        " Example(row['text'], row['label'])\n"
    )
    offer = (
        "Task('private', Files('*', delimiter=','), read, head=SingleLabel(), split=Split('part'),"
        " sensitive=SENSITIVE)"
    )
    for sensitive in (True, False):
        code = (
            f"{source}\n@hookimpl\ndef emomtl_tasks():\n    return"
            f" [{offer.replace('SENSITIVE', str(sensitive))}]\n"
        )
        name = f"private_{sensitive}.py".lower()
        (desk.folder / name).write_text(
            code.replace("split=Split('part')", "split=Split(validation=0.1, test=0.1)")
        )
        table = {"use": "private", "source": "mood.csv"}
        manifest = desk.manifest(
            name[:-3], plugins=[name], tasks={"mood": None, "topics": None, "private": table}
        )
        session = desk.begin(manifest, name[:-3])
        session.run.close()
        assert mapped(session.tokens["private", "train"]) is not sensitive
        assert cache.exists() is not sensitive


def test_few_texts_and_a_cache_that_is_off_leave_nothing(
    tokenizer: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(tokenizer, data=given(TEXTS[:-1]))
    assert not cache.parent.exists()
    monkeypatch.setenv("EMOMTL_CACHE", "off")
    notes: list[str] = []
    assert not mapped(read(tokenizer, notes))
    assert notes == []


def test_the_cache_lies_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("EMOMTL_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "emomtl" / "corpora"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "emomtl" / "corpora"


def test_an_entry_holds_no_text_and_is_its_owners_alone(tokenizer: Any, cache: Path) -> None:
    read(tokenizer)
    (entry,) = entries(cache)
    for folder in (cache.parent, cache, entry.folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not any(b"happy" in path.read_bytes() for path in entry.folder.iterdir())
    assert entry.facts["texts"] == FEWEST
    assert entry.facts["tokens"] == len(read(tokenizer).ids)


def test_an_entry_that_is_removed_under_a_run_stays_readable(tokenizer: Any, cache: Path) -> None:
    tokens = read(tokenizer)
    remove_entry(entries(cache)[0].folder)
    assert same(tokens, tokenise(tokenizer, split(TEXTS), 12))
    assert list(cache.iterdir()) == []


def test_what_killed_builders_left_is_removed_after_a_day(tokenizer: Any, cache: Path) -> None:
    old, young = cache / ".tmp-old", cache / ".tmp-young"
    cache.mkdir(parents=True, mode=0o700)
    cache.parent.chmod(0o700)
    for path in (old, young):
        path.mkdir()
    os.utime(old, (0, 0))
    Store(cache, [].append).keep("a" * 64, {"ids": np.arange(3)}, {})
    assert not old.exists()
    assert young.exists()


def test_the_command_lists_and_clears_entries_and_nothing_else(
    tokenizer: Any, cache: Path, cli: Any
) -> None:
    assert json.loads(cli("cache", "list", "--json").out)["entries"] == []
    for length in (12, 13, 14):
        read(tokenizer, max_tokens=length)
    mine = [cache / "notes.txt", cache / ("a" * 64) / "notes.txt"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    listed = json.loads(cli("cache", "list", "--json").out)["entries"]
    assert {entry["max_tokens"] for entry in listed} == {12, 13, 14}
    assert {(entry["corpus"], entry["split"], entry["texts"]) for entry in listed} == {
        ("mood", "train", FEWEST)
    }
    said = cli("cache", "list")
    assert all(entry["key"][:12] in said.out for entry in listed)
    assert cli("cache", "clear", listed[0]["key"][:12]).code == 0
    assert {entry.key for entry in entries(cache)} == {entry["key"] for entry in listed[1:]}
    wrong = cli("cache", "clear", "a" * 64, "../notes.txt", listed[1]["key"])
    assert wrong.code == 1
    assert "2 problems" in wrong.err
    assert len(entries(cache)) == 2
    said = cli("cache", "clear")
    assert "cleared 2 entries" in said.err
    assert "MB freed" in said.err
    assert "left alone: 2" in said.err
    assert [path.read_text() for path in mine] == ["mine", "mine"]


def test_the_command_says_when_there_is_no_cache_to_trust(
    cache: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(parents=True, mode=0o700)
    cache.chmod(0o777)
    assert "other users may write to" in cli("cache", "clear").err
    monkeypatch.setenv("EMOMTL_CACHE", "off")
    assert cli("cache", "list").code == 1
    assert cli("cache", "burn").code == 2
