"""`new-plugin` writes a distribution, or says why it cannot."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import pytest
import tomli

from emomtl import EmomtlError
from emomtl.manifest import read_manifest
from emomtl.plugins.discovery import Plugins
from emomtl.testing.skeleton import FILES, write_skeleton


@pytest.mark.parametrize("name", ["my-moods", "My_Moods", " emomtl-my-moods "])
def test_the_name_is_brought_into_one_form(tmp_path: Path, name: str) -> None:
    folder = write_skeleton(name, tmp_path)
    assert folder == tmp_path / "emomtl-my-moods"
    project = tomli.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "emomtl-my-moods"
    assert project["entry-points"]["emomtl"] == {"my-moods": "emomtl_my_moods.task"}
    assert list(read_manifest(folder / "manifest.toml").tasks) == ["my-moods"]


def test_every_template_is_used_and_no_placeholder_is_left(tmp_path: Path) -> None:
    templates = importlib.resources.files("emomtl.testing") / "skeleton_files"
    assert sorted(file.name for file in templates.iterdir()) == sorted(
        f"{name}.template" for name in FILES.values()
    )
    folder = write_skeleton("my-moods", tmp_path)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == len(FILES)
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "{name}" not in text
        assert "{package}" not in text


def test_the_sample_splits_share_no_text(tmp_path: Path) -> None:
    folder = write_skeleton("my-moods", tmp_path) / "src" / "emomtl_my_moods" / "sample"
    texts = [
        line.split("\t")[0]
        for path in folder.iterdir()
        for line in path.read_text(encoding="utf-8").splitlines()[1:]
    ]
    assert len(texts) == len(set(texts)) == 42


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("demo", "the name 'demo' is taken by emomtl_tasks.demo"),
        ("Sentiment140", "the name 'sentiment140' is taken"),
        ("tasks", "a Python package 'emomtl_tasks' is installed already"),
        (
            "a b",
            (
                "'a b' cannot be a plugin's name (letters of a-z, digits and single - or _ between"
                " them, such as 'a-b')"
            ),
        ),
        ("für-uns", "such as 'fur-uns'"),
        ("../up", "such as 'up'"),
        ("a\nb", r"'a\nb' cannot be"),
        ("", "'' cannot be a plugin's name"),
        ("--", "cannot be a plugin's name"),
        ("x" * 51, "the name has 51 characters (at most 50)"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_one_that_can(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(EmomtlError) as caught:
        write_skeleton(name, tmp_path)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "emomtl-my-moods").mkdir()
    with pytest.raises(EmomtlError, match="emomtl-my-moods exists already"):
        write_skeleton("my-moods", tmp_path)
    assert list((tmp_path / "emomtl-my-moods").iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(EmomtlError, match="cannot be written: Not a directory"):
        write_skeleton("my-moods", tmp_path / "file", Plugins([]))
