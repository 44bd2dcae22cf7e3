"""What holds for every task plugin: light imports, public names only, complete declarations,
working manifests.
"""

from __future__ import annotations

import ast
import csv
import pickle
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

import emomtl
import emomtl_tasks
from emomtl import Files, Task, TaskFamily
from emomtl_tasks import shipped_manifests
from emomtl_tasks.goemotions import GoEmotions
from emomtl_tasks.sentiment140 import Sentiment140

HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "pyarrow",
    "sklearn",
    "scipy",
    "pandas",
    "matplotlib",
    "numpy",
)
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(emomtl_tasks.__path__, "emomtl_tasks.")
)
NAMES = [
    "demo",
    "demo-ekman",
    "demo-sentiment",
    "emobank",
    "goemotions",
    "goemotions-ekman",
    "goemotions-sentiment",
    "sentiment140",
    "sst2",
    "suicide-depression",
    "table",
]


def test_importing_and_declaring_every_task_imports_nothing_heavy() -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {MODULES}:\n"
        "    module = importlib.import_module(name)\n"
        "    for offer in getattr(module, 'emomtl_tasks', list)():\n"
        "        offer().task() if hasattr(offer, 'task') else offer\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", MODULES)
def test_a_task_module_uses_only_public_names_of_emomtl(name: str) -> None:
    tree = ast.parse(Path(import_module(name).__file__ or "").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module is not None
            and node.module.split(".")[0] == "emomtl"
        ):
            assert node.module == "emomtl"
            assert {alias.name for alias in node.names} <= set(emomtl.__all__)
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "emomtl" for alias in node.names)


def test_the_tasks_are_those_that_the_project_names(offered: dict[str, Task]) -> None:
    assert sorted(offered) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_task_has_a_fitting_head_and_a_card(offered: dict[str, Task], name: str) -> None:
    task = offered[name]
    task.head.check(task.taxonomy)
    assert len(task.card) > 100
    if name != "table":
        assert "Licence" in task.card
        assert task.head.outputs(task.taxonomy)


@pytest.mark.parametrize("name", NAMES)
def test_the_reader_of_a_task_can_be_pickled(offered: dict[str, Task], name: str) -> None:
    assert callable(pickle.loads(pickle.dumps(offered[name].read)))  # noqa: S301


@pytest.mark.parametrize("name", NAMES)
def test_published_counts_name_labels_of_the_taxonomy(offered: dict[str, Task], name: str) -> None:
    task = offered[name]
    for split, counts in (task.published.labels if task.published else {}).items():
        assert task.taxonomy is not None
        assert set(counts) == set(task.taxonomy.names)
        assert task.published is not None
        assert max(counts.values()) <= task.published.sizes[split] <= sum(counts.values())


@pytest.mark.parametrize(
    ("family", "options"), [(GoEmotions, {"form": "dual"}), (Sentiment140, {"subset": 0})]
)
def test_a_wrong_option_of_a_family_is_refused(
    family: type[TaskFamily], options: dict[str, object]
) -> None:
    adapter = TypeAdapter(family)
    assert adapter.validate_python({}) == family()
    with pytest.raises(ValidationError):
        adapter.validate_python(options)


def test_the_three_demo_tasks_share_their_files(offered: dict[str, Task]) -> None:
    demo, ekman, sentiment = (offered[name] for name in ("demo", "demo-ekman", "demo-sentiment"))
    (layout,) = demo.layouts
    assert isinstance(layout, Files)
    assert ekman.layouts == sentiment.layouts == demo.layouts
    for split in ("train", "validation", "test"):
        with (Path(layout.path) / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))
        present: set[str] = set()
        for row in rows:
            fine, coarse, broad = demo.read(row), ekman.read(row), sentiment.read(row)
            assert fine is not None
            assert coarse is not None
            assert broad is not None
            assert fine.text is coarse.text is broad.text
            assert demo.taxonomy is not None
            assert coarse.label == list(demo.taxonomy.grouping("ekman").fold(fine.label))
            assert broad.label == list(demo.taxonomy.grouping("sentiment").fold(fine.label))
            present.update(fine.label)
        assert demo.taxonomy is not None
        assert present == set(demo.taxonomy.names)


def test_the_shipped_manifests_are_files_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shipped_manifests.emomtl_manifests()
    assert found == {path.stem: path for path in shipped_manifests.folder().glob("*.toml")}
    assert shipped_manifests.folder().name == "manifests"
    installed = tmp_path / "emomtl_tasks"
    (installed / "manifests").mkdir(parents=True)
    (installed / "manifests" / "quickstart.toml").write_text("", encoding="utf-8")
    monkeypatch.setattr(shipped_manifests, "__file__", str(installed / "shipped_manifests.py"))
    assert shipped_manifests.emomtl_manifests() == {
        "quickstart": installed / "manifests" / "quickstart.toml"
    }
