"""`emomtl.json`, which stands in every exported folder: tasks, labels, thresholds, and what was
verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emomtl.errors import EmomtlError, clean
from emomtl.safety.files import damaged, read_json, trouble, write_json
from emomtl.safety.untrusted import sha256_of

NAME, FORMAT = "emomtl.json", 1


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record with the SHA-256 of every file beside it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    files = {str(path.relative_to(folder)): sha256_of(path) for path in paths}
    write_json(folder / NAME, {"format": FORMAT, **record, "files": files})


def read_record(folder: Path) -> dict[str, Any]:
    """The record of an exported folder; EmomtlError where a file is not as it was written."""
    path = folder / NAME
    record = read_json(path)
    if record.get("format") != FORMAT:
        found = (
            f"has the format {clean(str(record.get('format')))}, and this emomtl reads format"
            f" {FORMAT}"
        )
        raise EmomtlError(trouble(path, found, "export the run again with this version"))
    tasks, files = record.get("tasks"), record.get("files")
    if not isinstance(tasks, dict) or not isinstance(files, dict):
        raise damaged(path, "it does not say which tasks and files there are")
    for name, digest in files.items():
        inside = Path(name)
        if inside.is_absolute() or ".." in inside.parts:
            raise damaged(path, f"it names a file outside of the folder: {clean(name)}")
        if not (folder / inside).is_file():
            raise damaged(folder / inside, "the export lacks this file")
        if sha256_of(folder / inside) != digest:
            raise damaged(folder / inside, "its SHA-256 is not the one that the export wrote")
    return record
