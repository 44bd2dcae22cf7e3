"""The generated pages say what the code says now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATE = ROOT / "docs" / "generate.py"


def run(
    *arguments: str, seed: str = "0", script: Path = GENERATE
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_every_generated_page_is_current_whatever_the_hash_seed() -> None:
    done = run("--check", seed="1")
    assert done.returncode == 0, f"run python docs/generate.py\n{done.stdout}{done.stderr}"


def test_a_page_that_differs_is_named_with_its_differences(tmp_path: Path) -> None:
    pages = tmp_path / "reference"
    pages.mkdir()
    for path in (ROOT / "docs" / "reference").glob("*.md"):
        (pages / path.name).write_bytes(path.read_bytes())
    page = pages / "hooks.md"
    page.write_text(
        page.read_text(encoding="utf-8").replace("# Hooks", "# Hocks"), encoding="utf-8"
    )
    start = f"import runpy; found = runpy.run_path({str(GENERATE)!r})\n"
    check = f"found['main'].__globals__['PAGES'] = __import__('pathlib').Path({str(pages)!r})\n"
    script = tmp_path / "check.py"
    script.write_text(
        f"{start}{check}raise SystemExit(found['main'](['--check']))\n", encoding="utf-8"
    )
    done = run(script=script)
    assert done.returncode == 1
    assert "docs/reference/hooks.md differs" in done.stdout
    assert "-# Hocks" in done.stdout
    assert "+# Hooks" in done.stdout
    assert "manifest.md" not in done.stdout


def test_a_wrong_argument_is_a_usage_error() -> None:
    assert run("--write").returncode == 2


def test_generated_pages_hold_no_addresses_and_no_machine_paths() -> None:
    for path in (ROOT / "docs" / "reference").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert " at 0x" not in text, path.name
        assert str(ROOT) not in text, path.name
        assert "site-packages" not in text, path.name
