"""The example and a fresh skeleton, installed as a stranger installs them, pass their own tests,
training included.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from emomtl.testing.skeleton import write_skeleton

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "emomtl-isear-like"


def _run(python: Path, *arguments: str, cwd: Path) -> str:
    """The output of `python -m ...` in the new environment; the test fails with it where the
    command does.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    environment |= {
        "OMP_NUM_THREADS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "HF_HUB_OFFLINE": "1",
    }
    command = [str(python), "-m", *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment that sees the packages of this one, so that nothing is downloaded."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    made = folder / "bin" / "python"
    outer = [*site.getsitepackages(), *(path for path in sys.path if path.endswith("-packages"))]
    lines = [f"import site; site.addsitedir({path!r})\n" for path in dict.fromkeys(outer)]
    purelib = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    Path(purelib, "outer.pth").write_text("".join(lines), encoding="utf-8")
    return made


def test_example_and_skeleton_pass_their_own_tests(python: Path, tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling builds the plugins; it is in the dev group")
    example = Path(shutil.copytree(EXAMPLE, tmp_path / "emomtl-isear-like"))
    skeleton = write_skeleton("my-moods", tmp_path)
    offline = ("pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    _run(python, *offline, str(example), "-e", str(skeleton), cwd=tmp_path)
    tests = (str(example / "tests"), str(skeleton / "tests"))
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        "--import-mode=importlib",
        f"--rootdir={tmp_path}",
    )
    written = sum(
        path.read_text(encoding="utf-8").count("def test_")
        for folder in tests
        for path in Path(folder).glob("*.py")
    )
    assert f"{written} passed" in _run(python, "pytest", *options, *tests, cwd=tmp_path)
