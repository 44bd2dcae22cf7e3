"""The tutorial shows every hook with its signature, and no code that is not in a file that the
tests run.
"""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import pytest

from emomtl.analyses.runs import RunFolders
from emomtl.contracts import hookspecs
from emomtl.plugins.discovery import Plugins
from emomtl.testing import __all__ as checks
from emomtl.testing import train_briefly

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "docs" / "examples" / "emomtl-isear-like"
TEXT = (PROJECT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) (\S+)\n(.*?)\n```$", TEXT, flags=re.MULTILINE | re.DOTALL)
HOOKS = [name for name in vars(hookspecs) if name.startswith("emomtl_")]


def test_every_python_block_names_its_file() -> None:
    assert len(re.findall(r"^```python", TEXT, flags=re.MULTILINE)) == sum(
        language == "python" for language, _, _ in BLOCKS
    )
    assert len(BLOCKS) > len(HOOKS)


@pytest.mark.parametrize(
    ("name", "code"),
    [block[1:] for block in BLOCKS],
    ids=[f"{i}-{b[1]}" for i, b in enumerate(BLOCKS)],
)
def test_a_block_with_a_file_name_stands_in_that_file(name: str, code: str) -> None:
    file = EXAMPLE / name if (EXAMPLE / name).is_file() else PROJECT / name
    assert f"{code}\n" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_its_signature_and_an_example(hook: str) -> None:
    section = re.search(rf"^### `{hook}`$(.*?)(?=^##|\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert section is not None
    signature = str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")
    assert f"    {hook}{signature}" in section.group(1)
    shown = section.group(1) if hook != "emomtl_tasks" else TEXT
    assert re.search(rf"^```python [^`]*^@hookimpl\ndef {hook}\(", shown, flags=re.MULTILINE)


def test_every_check_is_mentioned() -> None:
    assert all(name in TEXT for name in checks if name.startswith(("check_", "train_")))


MANIFEST = """
name = "single-files"
plugins = [
  "./incidents.py", "./by_need.py", "./geometric.py", "./smoothed.py", "./lengths.py",
  "./loss_table.py", "./stop_file.py",
]
encoder = { use = "minilm" }
tasks.isear-like = { head = { use = "smoothed" } }
tasks.demo = {}
sampler = { use = "by-need" }
features.lengths = { most = 100 }
weighting = { use = "geometric" }
"""


def test_the_example_works_as_single_files_too(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLE / "src" / "emomtl_isear_like", tmp_path / "plugin"))
    code = (folder / "stop_file.py").read_text(encoding="utf-8")
    (folder / "stop_file.py").write_text(
        f"{code}\n\n@hookimpl\ndef emomtl_started(run):\n    (run.folder / 'STOP').touch()\n"
    )
    (folder / "manifest.toml").write_text(MANIFEST, encoding="utf-8")
    run = train_briefly(folder / "manifest.toml", tmp_path, steps=9, plugins=Plugins.discover())
    finish = [event for event in run.events() if event["event"] == "finish"]
    assert [(event["step"], event["reason"]) for event in finish] == [
        (2, "STOP was put into the run's folder")
    ]
    assert len((run.folder / "losses.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 2
    kept = {path.name for path in (run.folder / "plugins").iterdir()}
    plugins = Plugins.discover()
    plugins.activate("by_length.py", folder)
    analysis = plugins.offer("analysis", "errors-by-length").value()
    sources = {"isear-like": str(folder / "rows")}
    rows = analysis.run(RunFolders([run.folder], sources, trust_plugins=True)).tables[0].rows
    assert {(row[0], row[1]) for row in rows} == {("single-files", "isear-like")}
    assert {"incidents.py", "loss_table.py", "stop_file.py"} <= kept
