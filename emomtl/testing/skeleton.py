"""A new plugin to fill in: a complete distribution with a task, sample rows, a manifest and tests that pass at once."""

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
"""What is written, and the file in `skeleton_files` (with `.template` at its end) that it is made from."""

LONGEST = 50


def write_skeleton(name: str, folder: Path, plugins: Plugins | None = None) -> Path:
    """Write the distribution `emomtl-NAME` into a new folder of that name under `folder`, and return it.

    `name` is the task's; upper case becomes lower, `_` becomes `-`, and a leading `emomtl-` is dropped. `EmomtlError` where
    it cannot be a name, where an installed plugin (of `plugins`; left out: this environment's) or package has it, or where
    the folder exists or cannot be written.
    """
    task = _task_name(name)
    package = f"emomtl_{task.replace('-', '_')}"
    _refuse_taken(task, package, plugins if plugins is not None else Plugins.discover())
    target = folder / f"emomtl-{task}"
    if target.exists() or target.is_symlink():
        raise EmomtlError(f"{target} exists already", remedy="choose another name, or remove it", place="new-plugin")
    templates = importlib.resources.files("emomtl.testing") / "skeleton_files"
    try:
        for path, template in FILES.items():
            text = (templates / f"{template}.template").read_text(encoding="utf-8")
            file = target / path.replace("{package}", package)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("{name}", task).replace("{package}", package), encoding="utf-8", newline="\n")
    except OSError as error:
        found = f"{target} cannot be written: {error.strerror}"
        raise EmomtlError(found, remedy="choose another folder", place="new-plugin") from error
    return target


def _task_name(name: str) -> str:
    """The name in the form that manifests use, or an error that shows one that would do."""
    task = name.strip().lower().replace("_", "-").removeprefix("emomtl-")
    if len(task) > LONGEST:
        raise EmomtlError(f"the name has {len(task)} characters", remedy=f"at most {LONGEST}", place="new-plugin")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", task):
        plain = unicodedata.normalize("NFKD", task).encode("ascii", "ignore").decode()
        would = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
        remedy = "letters of a-z, digits and single - or _ between them" + (f", such as '{would}'" if would else "")
        raise EmomtlError(f"'{clean(name, 60)}' cannot be a plugin's name", remedy=remedy, place="new-plugin")
    return task


def _refuse_taken(task: str, package: str, plugins: Plugins) -> None:
    """Refuse a name that something installed has: two things with one name would be an error in every run."""
    for entry in plugins.entries:
        if entry.name.lower().replace("_", "-") == task:
            found = f"the name '{task}' is taken by {entry.label}"
            raise EmomtlError(found, remedy="choose another name", place="new-plugin")
    if importlib.util.find_spec(package) is not None:
        found = f"a Python package '{package}' is installed already"
        raise EmomtlError(found, remedy="choose another name", place="new-plugin")
