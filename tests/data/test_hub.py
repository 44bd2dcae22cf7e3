"""Rows of a hub data set: renamed, numbered, by our split names; and one clear error where it
cannot be had.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError, Hub
from emomtl.data.locate import locate
from emomtl.data.located import Located


def texts(located: Located) -> dict[str, list[Any]]:
    return {split: [raw.values["text"] for raw in located.rows(split)] for split in located.splits}


@contextmanager
def refused(*parts: str) -> Iterator[None]:
    with pytest.raises(EmomtlError) as caught:
        yield
    for part in parts:
        assert part in str(caught.value)


def test_hub_rows_are_read_renamed_and_numbered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    part = datasets.Dataset.from_dict({"sentence": ["a", "b"], "label": [1, 0]}, features=features)
    asked: list[Any] = []

    def load(*args: Any, **options: Any) -> Any:
        asked.append((args, options))
        return datasets.DatasetDict({"train": part, "dev": part.select([1]), "extra": part})

    monkeypatch.setattr(datasets, "load_dataset", load)
    hub = Hub("someone/corpus", "part", revision="abc", columns={"sentence": "text"})
    located = locate([hub], None, tmp_path, "mine")
    assert not asked
    assert texts(located) == {"train": ["a", "b"], "validation": ["b"]}
    assert [(raw.number, raw.values["label"]) for raw in located.rows("train")] == [(1, 1), (2, 0)]
    assert located.fingerprint() == locate([hub], None, tmp_path, "mine").fingerprint()
    assert asked[0] == (("someone/corpus", "part"), {"revision": "abc"})
    named = locate([replace(hub, splits={"test": "extra"})], None, tmp_path, "mine")
    assert texts(named) == {"test": ["a", "b"]}
    with refused("hub:someone/corpus/part: mine: no split 'extro' (did you mean 'extra'?)"):
        _ = locate([replace(hub, splits={"test": "extro"})], None, tmp_path, "mine").splits
    with refused("hub:someone/corpus/part: mine: no column 'text' (known: label, sentence)"):
        list(locate([replace(hub, columns={"text": "text"})], None, tmp_path, "mine").rows("train"))
    with refused("has no split 'test'"):
        located.rows("test")


def test_a_single_hub_split_of_another_name_is_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    part = datasets.Dataset.from_dict({"text": ["a"]})
    splits = {"full": part}
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *args, **options: datasets.DatasetDict(splits)
    )
    assert texts(locate([Hub("a/b")], None, tmp_path, "mine")) == {"all": ["a"]}
    splits["rest"] = part
    with refused(
        "its splits are full, rest, not train, validation, test (name them in the layout's"
        " `splits`)"
    ):
        _ = locate([Hub("a/b")], None, tmp_path, "mine").splits


OFFLINE = """
import json, sys
from pathlib import Path
from emomtl import EmomtlError, Hub
from emomtl.data.locate import locate
local = locate([Hub(sys.argv[1])], None, Path("."), "mine")
print(json.dumps({split: [raw.values["text"] for raw in local.rows(split)] for split in local.splits}))
try:
    locate([Hub("someone/corpus")], None, Path("."), "mine").splits
except EmomtlError as error:
    print(error)
"""


def test_offline_a_local_data_set_loads_and_others_fail_clearly(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "train.csv").write_text("text,label\na,1\n")
    (corpus / "test.csv").write_text("text,label\nb,0\n")
    offline = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "home"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    command = [sys.executable, "-c", OFFLINE, str(corpus)]
    done = subprocess.run(
        command,
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows, *message = done.stdout.splitlines()
    assert json.loads(rows) == {"train": ["a"], "test": ["b"]}
    assert len(message) == 1
    assert message[0].startswith("hub:someone/corpus: mine: cannot be loaded: ")
    assert message[0].endswith('(for a local copy, `source = "FOLDER"`)')
