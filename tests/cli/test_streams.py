"""Whatever a shell makes of standard output, standard error and the environment, a command ends
with a line, not a traceback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def shell(line: str, **environment: str) -> tuple[int, str, str]:
    """The exit code of a command line after `emomtl`, its standard output, and its standard error."""
    command = f"{sys.executable} -m emomtl {line}"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", ["tasks", "--help"])
def test_a_full_standard_output_is_one_line(command: str) -> None:
    code, _, err = shell(f"{command} > /dev/full")
    assert (code, err.splitlines()) == (
        1,
        [
            "error: standard output cannot be written: No space left on device (print it into"
            " another file)"
        ],
    )


def test_closed_streams_and_a_full_standard_error_end_no_command(
    trained: Any, tmp_path: Path
) -> None:
    assert shell("tasks >&-") == (0, "", "")
    assert shell(f"report {trained.folder} --csv {tmp_path / 'a.csv'} 2> /dev/full >&-") == (
        0,
        "",
        "",
    )
    assert shell(f"report {trained.folder} --csv {tmp_path / 'b.csv'} >&- 2>&-") == (0, "", "")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes() != b""


def test_characters_that_cannot_be_encoded_are_escaped(trained: Any, tmp_path: Path) -> None:
    shutil.copytree(trained.folder, tmp_path / "straße", symlinks=True)
    for how in (
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ):
        code, out, err = shell(f"report '{tmp_path / 'straße'}' --json", **how)
        assert code == 0, err
        # where Python reads names as ASCII, too, their bytes come as surrogates
        assert os.fsencode(Path(json.loads(out)["runs"][0]["folder"]).name).decode() == "straße"


@pytest.mark.parametrize("backend", ["nonsense", "module://no.such.module", "qtagg"])
def test_a_backend_of_matplotlib_plays_no_part(trained: Any, tmp_path: Path, backend: str) -> None:
    code, _, err = shell(
        f"report {trained.folder} --figures {tmp_path / 'figures'}", MPLBACKEND=backend
    )
    assert code == 0, err
    assert list((tmp_path / "figures").glob("*.pdf"))


@pytest.mark.parametrize("date", ["yesterday", "-5", "1e9", "99999999999999999999", "٣"])
def test_a_source_date_epoch_that_is_none_is_named(
    trained: Any, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
    said = cli("report", trained.folder, "--figures", tmp_path / "figures")
    assert said.code == 1
    assert said.err.startswith("error: SOURCE_DATE_EPOCH: '")
    assert (
        "is no number of seconds since 1970 (unset it, or give one such as 1700000000)" in said.err
    )
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert cli("report", trained.folder, "--figures", tmp_path / "figures").code == 0


def test_a_run_whose_name_is_no_utf8_is_reported_on(trained: Any, cli: Any, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"n\xff")
    try:
        shutil.copytree(trained.folder, folder, symlinks=True)
    except OSError:
        pytest.skip("this file system takes no such names")
    assert cli("report", folder).code == 0
    said = cli("predict", folder, "happy")
    assert said.code == 1
    assert (
        "n\\udcff: this name is not UTF-8, and tokenizers cannot open files below it (rename it"
        in said.err
    )


def test_no_run_begins_in_a_folder_without_utf8_name(desk: Any, cli: Any) -> None:
    folder = desk.folder / os.fsdecode(b"n\xff")
    said = cli("train", desk.manifest(), "--out", folder)
    assert said.code == 1
    assert "this name is not UTF-8" in said.err
    assert not folder.exists()
