"""Where packages come from: locks with hashes, licences, reasons, and no import that is not
declared.
"""

from __future__ import annotations

import ast
import re
import runpy
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = ("locked.txt", "audit.txt")
SHA = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PROJECT: dict[str, Any] = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def requirements(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """The requirements of a file by their names, each with its hashes."""
    text = re.sub(
        r"^\s*#.*$", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE
    ).replace("\\\n", " ")
    found = {}
    for line in filter(str.strip, text.splitlines()):
        one = Requirement(line.partition("--hash")[0].strip())
        assert re.fullmatch(r"==[\w.]+", str(one.specifier)), line
        found[canonicalize_name(one.name)] = (one, SHA.findall(line))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name: str) -> None:
    found = requirements(f"requirements/{name}")
    assert len(found) > 20
    assert [one for one, (_, hashes) in found.items() if not hashes] == []
    assert not any(re.fullmatch(r"torch|triton|(nvidia|cuda)-.*", one) for one in found)


def test_torch_is_pinned_by_its_version_alone() -> None:
    assert {
        name: hashes for name, (_, hashes) in requirements("requirements/torch.txt").items()
    } == {"torch": []}


@pytest.mark.parametrize(
    "name",
    ["constraints.txt", "requirements/torch.txt", *(f"requirements/{name}" for name in LOCKS)],
)
def test_no_address_stands_in_a_list_of_requirements(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"\S*(?:://|\.(?:com|org|net|io|dev)\b)\S*", text) == []
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert [
        line
        for line in lines
        if re.search(r"^-(?!-hash)|--(?!hash=sha256:)| -\w | @ ", line.removeprefix("    "))
    ] == []


def test_the_lock_and_the_constraints_are_of_the_same_versions() -> None:
    locked = {**requirements("requirements/locked.txt"), **requirements("requirements/torch.txt")}
    pinned = requirements("constraints.txt")
    elsewhere = {
        name
        for name, (one, _) in locked.items()
        if one.marker is not None and "sys_platform ==" in str(one.marker)
    }
    assert set(locked) - set(pinned) <= elsewhere
    assert set(pinned) <= set(locked)
    assert {
        name: (str(one.specifier), str(locked[name][0].specifier))
        for name, (one, _) in pinned.items()
    } == {name: (str(one.specifier), str(one.specifier)) for name, (one, _) in pinned.items()}


def test_everything_that_is_declared_is_locked_within_its_range() -> None:
    locked = {**requirements("requirements/locked.txt"), **requirements("requirements/torch.txt")}
    tools = requirements("requirements/audit.txt")
    declared = [(line, locked) for line in PROJECT["dependencies"]]
    declared += [
        (line, tools if extra == "audit" else locked)
        for extra, lines in EXTRAS.items()
        for line in lines
    ]
    for line, where in declared:
        one = Requirement(line)
        version = str(where[canonicalize_name(one.name)][0].specifier).removeprefix("==")
        assert one.specifier.contains(version), line


def test_every_licence_of_what_is_installed_is_allowed_or_has_a_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listing = runpy.run_path(str(ROOT / "requirements/licences.py"))
    assert listing["main"]() == 0, capsys.readouterr().err
    assert len(capsys.readouterr().out.splitlines()) > 60
    needed = {canonicalize_name(one.name) for one in listing["installed"](PROJECT["dependencies"])}
    assert {name for name in needed if listing["excepted"](name)} <= {
        name for name in needed if name.startswith(("nvidia", "cuda"))
    }


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        *(
            ("MIT", True),
            ("MIT AND (GPL-3.0 OR Apache-2.0)", True),
            ("Apache-2.0 WITH LLVM-exception", True),
        ),
        *(("GPLv3", False), ("MIT AND GPL-3.0-only", False), ("unknown", False), ("", False)),
    ],
)
def test_a_licence_that_is_not_known_is_not_allowed(said: str, allowed: bool) -> None:
    assert runpy.run_path(str(ROOT / "requirements/licences.py"))["allowed"](said) is allowed


def test_what_was_not_audited_is_never_passed(capsys: pytest.CaptureFixture[str]) -> None:
    judged = runpy.run_path(str(ROOT / "requirements/audit.py"))["judged"]
    good = {"name": "good", "version": "1", "vulns": []}
    bad = {"name": "bad", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
    assert (judged([good]), judged([good, bad]), judged([])) == (0, 1, 2)
    assert judged([good, {"name": "other", "skip_reason": "not found"}]) == 2
    said = capsys.readouterr()
    assert "hole: bad 1: PYSEC-1, mended in 2" in said.out
    assert "1 of 2 packages were not audited (other)" in said.err


def test_every_dependency_has_a_reason_a_version_a_licence_and_a_weight() -> None:
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    wanted = {"what for", "alive", "licence", "weight"}
    rows: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    for line in page.splitlines():
        cells = (
            [cell.strip() for cell in line.strip().strip("|").split("|")]
            if line.startswith("|")
            else []
        )
        if not cells:
            columns = []
        elif not columns:
            columns = cells
        elif cells[0].startswith("`"):
            assert wanted <= set(columns), line
            rows[cells[0].strip("`")] = dict(zip(columns, cells, strict=True))
    declared = {
        Requirement(line).name
        for lines in (PROJECT["dependencies"], *EXTRAS.values())
        for line in lines
    }
    assert set(rows) == declared
    assert {
        name for name, row in rows.items() if not all(row[column] for column in wanted)
    } == set()
    assert {name for name, row in rows.items() if not re.match(r"\d+\.\d+", row["alive"])} == set()
    named = {name: {Requirement(line).name for line in lines} for name, lines in EXTRAS.items()}
    assert {
        name
        for name, row in rows.items()
        if "extra" in row and name not in named[row["extra"].strip("`")]
    } == set()


def test_every_import_of_ours_is_declared() -> None:
    declared = {
        canonicalize_name(Requirement(line).name)
        for lines in (PROJECT["dependencies"], *EXTRAS.values())
        for line in lines
    }
    owners = packages_distributions()
    foreign: dict[str, str] = {}
    for folder in ("emomtl", "plugins", "tasks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += (
                    [node.module or ""]
                    if isinstance(node, ast.ImportFrom) and not node.level
                    else []
                )
                for name in names:
                    top = name.partition(".")[0]
                    if top not in sys.stdlib_module_names and not top.startswith("emomtl"):
                        foreign[top] = str(path.relative_to(ROOT))
    assert len(foreign) > 15
    assert {
        name: where
        for name, where in foreign.items()
        if not {canonicalize_name(one) for one in owners.get(name, [name])} & declared
    } == {}
