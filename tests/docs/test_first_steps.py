"""The first steps are steps: their files are read as the page says, and pages name no plugin that
does not exist.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tomli

ROOT = Path(__file__).resolve().parents[2]
FILE = re.compile(r"^```\w+ (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _files(page: str, folder: Path) -> None:
    """The page's files, with more rows of the same kinds in each CSV file."""
    for name, content in FILE.findall(page):
        if name.endswith(".csv"):
            header, *rows = content.splitlines(keepends=True)
            content = header + "".join(
                row.replace('"', f'"{number}, ', 1) for number in range(30) for row in rows
            )
        (folder / name).write_text(content, encoding="utf-8")


@pytest.mark.parametrize("name", ["moods", "stars"])
def test_the_manifests_of_the_first_steps_are_fine(
    name: str,
    text_of: dict[str, str],
    cli: Any,
    encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _files(text_of["docs/first-steps.md"], tmp_path)
    monkeypatch.chdir(tmp_path)
    tiny = ["--set", f"encoder.use='{encoder}'", "--set", "encoder.pooling='mean'"]
    said = cli("check", f"{name}.toml", "--no-step", *tiny)
    assert said.code == 0, said.err
    assert f"{name}.toml is fine" in said.err
    assert "by a hash of each text" in said.err
    assert ("30 rows that its `read` drops" in said.err) == (name == "stars")


def test_every_plugin_that_a_page_names_exists(page: Any) -> None:
    known = {path.name for path in (ROOT / "docs/examples").iterdir() if path.is_dir()}
    if "/examples/" in page.name:
        return
    named = [
        plugin
        for block in page.blocks
        if block.kind == "toml"
        for plugin in tomli.loads(block.text).get("plugins", ())
        if not plugin.endswith(".py")
    ]
    named += (
        re.findall(r"`(emomtl-[a-z0-9-]+)`", page.unfenced)
        if page.name == "docs/plugins.md"
        else []
    )
    assert [plugin for plugin in named if plugin not in known] == []


def test_entry_points_on_the_page_are_those_of_the_example(text_of: dict[str, str]) -> None:
    project = tomli.loads(
        (ROOT / "docs/examples/emomtl-isear-like/pyproject.toml").read_text(encoding="utf-8")
    )
    entries = project["project"]["entry-points"]["emomtl"]
    shown = re.findall(
        r"```toml\n(\[project\.entry-points.*?)```", text_of["docs/plugins.md"], re.DOTALL
    )
    assert shown
    for block in shown:
        for name, module in tomli.loads(block)["project"]["entry-points"]["emomtl"].items():
            assert entries[name] == module
