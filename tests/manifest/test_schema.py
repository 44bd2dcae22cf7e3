"""An editor's checker (tombi) accepts the schema, and right manifests, and refuses wrong ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types
import pytest

from emomtl.contracts.heads import MultiLabel, Regression, SingleLabel
from emomtl.manifest import manifest_schema, read_manifest, write_manifest


@dataclass(frozen=True)
class Annealed:
    """Annealed sampling."""

    by: Literal["step", "epoch"] = "step"
    end: Annotated[float, annotated_types.Ge(0)] = 0.2


@dataclass(frozen=True)
class Uniform:
    pass


@dataclass(frozen=True)
class Contrast:
    temperature: Annotated[float, annotated_types.Gt(0)] = 0.3


@dataclass(frozen=True)
class Part:
    share: float = 0.5


@dataclass(frozen=True)
class Table:
    text: str
    columns: Mapping[str, str] | None = None
    part: Part | None = None


OFFERS: dict[str, Mapping[str, type]] = {
    "sampler": {"annealed": Annealed, "proportional": Uniform},
    "weighting": {"equal": Uniform},
    "head": {"single-label": SingleLabel, "multi-label": MultiLabel, "regression": Regression},
    "objective": {"contrast": Contrast},
    "feature": {"words": Part},
    "task": {"table": Table},
}

GOOD = """\
name = "good"
[encoder]
use = "minilm"
[tasks.demo]
[tasks.other]
head = { dropout = 0.2 }
[tasks.mine]
use = "table"
source = "x.csv"
options = { text = "review", part = { share = 0.5 } }
head = { use = "regression", dimensions = ["v", "a"], low = 1 }
[objectives.near]
use = "contrast"
task = "demo"
temperature = 0.1
[objectives.other]
use = "somebodys"
task = "demo"
anything = "goes"
[features.words]
share = 0.2
[features.mine]
use = "words"
of = "demo"
share = 0.1
[sampler]
use = "annealed"
by = "epoch"
[weighting]
use = "a-stranger's"
anything = [1, 2]
[train]
epochs = 3
betas = [0.9, 0.99]
"""

BAD: dict[str, tuple[str, str]] = {
    "unknown key": ("epochs = 3", "epoch = 3"),
    "text for number": ("epochs = 3", 'epochs = "3"'),
    "range": ("epochs = 3", "epochs = 0"),
    "option's value": ('by = "epoch"', 'by = "week"'),
    "option's name": ('by = "epoch"', 'bye = "epoch"'),
    "no use": ('use = "annealed"', ""),
    "head's option": ("low = 1", 'low = "one"'),
    "head's option's name": ("low = 1", "lowest = 1"),
    "family's option": ('text = "review"', "text = 3"),
    "family's option is missing": ('text = "review", ', ""),
    "objective's option": ("temperature = 0.1", "temperature = 0"),
    "objective's option's name": ("temperature = 0.1", "temp = 0.1"),
    "objective without a task": ('use = "contrast"\ntask = "demo"', 'use = "contrast"'),
    "feature's option": ("share = 0.1", 'share = "much"'),
    "feature's option's name": ("share = 0.1", "shares = 0.1"),
    "feature's key": ('of = "demo"', "of = 3"),
    "task's key": ('source = "x.csv"', 'sauce = "x.csv"'),
    "task's name": ("[tasks.demo]", '[tasks."a b"]'),
    "two numbers": ("[0.9, 0.99]", "[0.9, 1.5]"),
}

TOMBI = shutil.which(
    "tombi", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
)


def lint(folder: Path, text: str, schema: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """What tombi says to a manifest with a `#:schema` line; nothing outside the folder is read or
    written.
    """
    assert TOMBI is not None
    (folder / "x.json").write_text(json.dumps(schema), encoding="utf-8")
    (folder / "m.toml").write_text("#:schema ./x.json\n" + text, encoding="utf-8")
    home = {
        key: str(folder / "home")
        for key in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    }
    command = [TOMBI, "lint", "--offline", "m.toml"]
    return subprocess.run(
        command,
        cwd=folder,
        env={**home, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


needs_tombi = pytest.mark.skipif(TOMBI is None, reason="tombi is not installed")


@needs_tombi
@pytest.mark.parametrize("offers", [None, OFFERS], ids=["bare", "with offers"])
def test_a_right_manifest_passes_without_a_warning(
    tmp_path: Path, offers: dict[str, Mapping[str, type]] | None
) -> None:
    result = lint(tmp_path, GOOD, manifest_schema(offers))
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr


@needs_tombi
@pytest.mark.parametrize(("old", "new"), BAD.values(), ids=list(BAD))
def test_a_wrong_manifest_fails(tmp_path: Path, old: str, new: str) -> None:
    assert GOOD.count(old) == 1
    result = lint(tmp_path, GOOD.replace(old, new), manifest_schema(OFFERS))
    assert result.returncode == 1, result.stderr
    assert "m.toml:" in result.stderr + result.stdout


@needs_tombi
def test_a_manifest_that_emomtl_writes_passes(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text(GOOD, encoding="utf-8")
    result = lint(
        tmp_path, write_manifest(read_manifest(tmp_path / "good.toml")), manifest_schema(OFFERS)
    )
    assert result.returncode == 0, result.stderr


def nodes(node: Any) -> list[dict[str, Any]]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [
        *([node] if isinstance(node, dict) else []),
        *(found for item in inner for found in nodes(item)),
    ]


def test_the_schema_has_no_null_and_every_reference_leads_somewhere() -> None:
    schema = manifest_schema(OFFERS)
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema
    for node in nodes(schema):
        assert node.get("type") != "null"
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]


def test_the_schema_describes_keys_and_options() -> None:
    schema = manifest_schema(OFFERS)
    assert schema["$defs"]["TrainTable"]["properties"]["lr"]["description"] == "peak learning rate"
    annealed = schema["properties"]["sampler"]["oneOf"][0]
    assert (annealed["title"], annealed["description"]) == ("annealed", "Annealed sampling.")
    assert annealed["properties"]["by"] == {
        "default": "step",
        "enum": ["step", "epoch"],
        "title": "by",
        "type": "string",
    }


def test_making_a_schema_changes_nothing_for_the_next() -> None:
    assert manifest_schema(OFFERS) == manifest_schema(OFFERS)
    assert manifest_schema() == manifest_schema({})
