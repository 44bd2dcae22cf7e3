"""Durable writes leave the old content or the new one, and a refusing disk is said in one sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from emomtl.errors import EmomtlError
from emomtl.safety import files


class SafetensorError(Exception):
    """Stands in for the library's own, which is known by its name."""


@pytest.mark.parametrize(
    "code",
    [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.ENOENT, errno.EFBIG],
)
def test_an_error_of_the_disk_names_the_path_the_reason_and_a_remedy(
    tmp_path: Path, code: int
) -> None:
    with pytest.raises(EmomtlError) as caught, files.storage(tmp_path / "x"):
        raise OSError(code, os.strerror(code))
    (problem,) = caught.value.problems
    assert problem.place == str(tmp_path / "x")
    assert os.strerror(code) in problem.found
    assert "--out" in problem.remedy


FULL = "No space left on device"


@pytest.mark.parametrize(
    "error", [SafetensorError(f"I/O error: {FULL} (os error 28)"), RuntimeError(FULL)]
)
def test_a_full_disk_is_recognised_in_the_errors_of_libraries(
    tmp_path: Path, error: Exception
) -> None:
    with pytest.raises(EmomtlError, match=rf"{FULL} \(free space"), files.storage(tmp_path):
        raise error


@pytest.mark.parametrize(
    "error",
    [SafetensorError("bad header"), RuntimeError("CUDA"), ValueError("x"), EmomtlError("said")],
)
def test_an_error_that_is_not_of_the_disk_passes_unchanged(
    tmp_path: Path, error: Exception
) -> None:
    with pytest.raises(type(error)) as caught, files.storage(tmp_path):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_content_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    files.write_json(tmp_path / "x.json", {"a": 1})

    def refuse(*args: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, broken, refuse)
    with pytest.raises(EmomtlError, match="Input/output error"):
        files.write_json(tmp_path / "x.json", {"a": 2})
    assert files.read_json(tmp_path / "x.json") == {"a": 1}
    assert os.listdir(tmp_path) == ["x.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_json_file_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(EmomtlError, match=r"x\.json: damaged"):
        files.read_json(tmp_path / "x.json")


def test_a_link_is_relative_and_can_be_replaced(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        files.replace_link(tmp_path / "last", tmp_path / name)
        assert os.readlink(tmp_path / "last") == name
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "last"]


def test_too_little_space_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda path: 1_190_000)
    with pytest.raises(
        EmomtlError, match=r"1\.2 MB are needed to write it safely, 1\.2 MB are free"
    ):
        files.require_space(tmp_path, 1_000_000)
    monkeypatch.setattr(files, "free_bytes", lambda path: 1_200_000)
    files.require_space(tmp_path, 1_000_000)
