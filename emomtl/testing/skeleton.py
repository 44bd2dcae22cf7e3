"""A new plugin to fill in: a distribution with a task, sample rows, a manifest and tests."""

from __future__ import annotations

import importlib.resources
import importlib.util
import re
import unicodedata
from pathlib import Path

from emomtl.errors import EmomtlError, clean
from emomtl.plugins.discovery import Plugins

FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "manifest.toml": "manifest.toml",
    "src/{package}/__init__.py": "init.py",
    "src/{package}/task.py": "task.py",
    "src/{package}/sample/train.tsv": "train.tsv",
    "src/{package}/sample/validation.tsv": "validation.tsv",
    "src/{package}/sample/test.tsv": "test.tsv",
    "tests/test_plugin.py": "test_plugin.py",
}
"""The files of the distribution, and the templates in `skeleton_files` that they are made from."""

LONGEST = 50
"""The most characters of a name."""

PLACE = "new-plugin"
"""The command that errors name."""


def write_skeleton(name: str, folder: Path, plugins: Plugins | None = None) -> Path:
    """Write the distribution `emomtl-NAME` into a new folder of that name, and return the folder.

    `name` is the task's; upper case becomes lower, `_` becomes `-`, and a leading `emomtl-` is
    dropped. `EmomtlError` where it cannot be a name, where an installed plugin (of `plugins`; left
    out: this environment's) or package has it, or where the folder exists or cannot be written.
    """
    task = _task_name(name)
    package = f"emomtl_{task.replace('-', '_')}"
    _refuse_taken(task, package, plugins if plugins is not None else Plugins.discover())
    target = folder / f"emomtl-{task}"
    if target.exists() or target.is_symlink():
        remedy = "choose another name, or remove it"
        raise EmomtlError(f"{target} exists already", remedy=remedy, place=PLACE)
    templates = importlib.resources.files("emomtl.testing") / "skeleton_files"
    try:
        for path, template in FILES.items():
            text = (templates / f"{template}.template").read_text(encoding="utf-8")
            file = target / path.replace("{package}", package)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(
                text.replace("{name}", task).replace("{package}", package),
                encoding="utf-8",
                newline="\n",
            )
    except OSError as error:
        problem = f"{target} cannot be written: {error.strerror}"
        raise EmomtlError(problem, remedy="choose another folder", place=PLACE) from error
    return target


def _task_name(name: str) -> str:
    """The name in the form that manifests use, or an error that suggests a valid one."""
    task = name.strip().lower().replace("_", "-").removeprefix("emomtl-")
    if len(task) > LONGEST:
        problem = f"the name has {len(task)} characters"
        raise EmomtlError(problem, remedy=f"at most {LONGEST}", place=PLACE)
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", task):
        ascii_name = unicodedata.normalize("NFKD", task).encode("ascii", "ignore").decode()
        suggestion = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")
        remedy = "letters of a-z, digits and single - or _ between them"
        remedy += f", such as '{suggestion}'" if suggestion else ""
        problem = f"'{clean(name, 60)}' cannot be a plugin's name"
        raise EmomtlError(problem, remedy=remedy, place=PLACE)
    return task


def _refuse_taken(task: str, package: str, plugins: Plugins) -> None:
    """Refuse the name of an installed plugin: two with one name are an error in every run."""
    problem = ""
    for entry in plugins.entries:
        if entry.name.lower().replace("_", "-") == task:
            problem = f"the name '{task}' is taken by {entry.label}"
    if not problem and importlib.util.find_spec(package) is not None:
        problem = f"a Python package '{package}' is installed already"
    if problem:
        raise EmomtlError(problem, remedy="choose another name", place=PLACE)
