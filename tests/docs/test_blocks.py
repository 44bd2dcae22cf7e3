"""What stands in code blocks works: manifests read, Python compiles, command lines name commands
and options that exist.
"""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import Any

import pytest
import tomli

from emomtl.cli.analyse import OLDER_SPELLINGS
from emomtl.cli.app import commands
from emomtl.compose import compose_file
from emomtl.contracts.task import DerivedTask
from emomtl.errors import EmomtlError
from emomtl.manifest import read_draft, read_manifest, read_options
from emomtl.plugins.discovery import Plugins
from emomtl.testing import check_task

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "tasks" / "manifests").glob("*.toml"))
SHELLS = ("console", "sh", "bash", "shell", "text", "")


def test_every_whole_manifest_of_the_page_reads_without_a_problem(
    page: Any, tmp_path: Path
) -> None:
    for block in page.blocks:
        if block.kind != "toml" or "[encoder]" not in block.text or "[tasks." not in block.text:
            continue
        file = tmp_path / "manifest.toml"
        file.write_text(block.text, encoding="utf-8")
        problems = [str(problem) for problem in read_draft(file).problems]
        assert problems == [], f"{page.name}:{block.line}"


def test_every_toml_block_of_the_page_is_toml(page: Any) -> None:
    for block in page.blocks:
        if block.kind == "toml":
            tomli.loads(block.text)


def test_every_python_block_of_the_page_compiles(page: Any) -> None:
    for block in page.blocks:
        if block.kind in ("python", "py"):
            compile(textwrap.dedent(block.text), f"{page.name}:{block.line}", "exec")


def _calls(text: str) -> list[list[str]]:
    """The words of every line that calls `emomtl`, with or without a prompt; continued lines are
    joined.
    """
    calls = []
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip().removeprefix("$ ").removeprefix("> ")
        if line.startswith("emomtl "):
            calls.append(shlex.split(line, comments=True)[1:])
    return calls


def test_command_lines_name_commands_and_options_that_exist(page: Any) -> None:
    known_commands = commands()
    for block in page.blocks:
        if block.kind not in SHELLS or "/reference/" in page.name:
            continue
        for name, *rest in _calls(block.text):
            if name.startswith("-"):
                continue
            name = name if name in known_commands else " ".join([name, *rest[:1]])
            place = f"{page.name}:{block.line}: emomtl {name}"
            assert name in known_commands, place
            parameters = known_commands[OLDER_SPELLINGS.get(name, name)].params
            known = {option for p in parameters for option in [*p.opts, *p.secondary_opts]} | {
                "--help"
            }
            for word in rest:
                if word.startswith("--"):
                    assert word.partition("=")[0] in known, f"{place} {word}"


WRONG = """\
name = "mine"

[encoder]
use = "bert"

[tasks.goemotion]

[train]
learning_rate = 1e-4
epochs = "3"
"""


def test_the_error_on_the_page_on_runs_is_real(
    all_pages: Any, plugins: Plugins, tmp_path: Path
) -> None:
    page = next(page for page in all_pages if page.name == "docs/runs.md")
    shown = next(block.text for block in page.blocks if "problems:" in block.text)
    file = tmp_path / "bad.toml"
    file.write_text(WRONG, encoding="utf-8")
    with pytest.raises(EmomtlError) as caught:
        compose_file(file, [], plugins)
    given = [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]
    assert [line.strip() for line in shown.splitlines()[1:]] == given


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_name_and_option_of_a_shipped_manifest_resolves(path: Path, plugins: Plugins) -> None:
    manifest = read_manifest(path)
    assert manifest.name == path.stem
    for name, table in manifest.tasks.items():
        offered = plugins.offer("task", table.use or name).value
        task = offered
        if isinstance(offered, type):
            family, problems = read_options(offered, table.options, f"tasks.{name}.options")
            assert problems == []
            assert family is not None
            if isinstance(family, DerivedTask):
                assert family.of in manifest.tasks
                continue
            task = family.task()
        else:
            assert table.options == {}
        task.head.check(task.taxonomy)
    for kind, use in (("sampler", manifest.sampler), ("weighting", manifest.weighting)):
        value, problems = read_options(plugins.offer(kind, use.use).value, use.options, kind)
        assert problems == []
        assert value is not None
    assert plugins.offer("encoder", manifest.encoder.use).value.about
    if manifest.train.target is not None:
        assert manifest.train.target in manifest.tasks
    assert path.read_text(encoding="utf-8").startswith("# "), (
        "the first comment says what the manifest does"
    )


def test_the_plugin_in_the_page_on_plugins_is_one(all_pages: Any, tmp_path: Path) -> None:
    page = next(page for page in all_pages if page.name == "docs/plugins.md")
    file = tmp_path / "weather.py"
    file.write_text(
        next(block.text for block in page.blocks if block.kind == "python"), encoding="utf-8"
    )
    plugins = Plugins([])
    plugins.activate("weather.py", tmp_path)
    task = plugins.offer("task", "weather").value
    rows = [{"text": "Sun at last!", "mood": "glad"}, {"text": "Rain again.", "mood": "grumpy"}]
    report = check_task(task, rows, light_import=False)
    assert report.labels == {"glad": 1, "grumpy": 1}
