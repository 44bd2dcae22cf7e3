"""Digests in a run's own files: a SHA-256 over their content and the run's identity, to find
changes.

It finds what a disk, a copy or a hand has changed, and files of another run. It is no signature:
who can write a file can also write its digest. Files of before 0.1.0 have none, and are read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emomtl.safety.files import damaged, read_bytes, read_json, storage, write_bytes, write_json
from emomtl.safety.untrusted import sha256_of

KEY, LIST = "sha256", "sha256.json"
LINE = re.compile(rb"# sha256 ([0-9a-f]{64})\n\Z")
CHANGED = "it is not what this run wrote into it"


def write_sealed(path: Path, obj: Mapping[str, Any], run: str | None) -> None:
    """Replace a file by a JSON object with its digest; ValueError for NaN and infinities."""
    # As it will be read back: lists for tuples, texts for numbers as keys.
    content = json.loads(json.dumps(dict(obj), allow_nan=False))
    write_json(path, {**content, KEY: _digest(_canonical(content), run)})


def read_sealed(path: Path, run: str | None) -> dict[str, Any]:
    """A JSON object without its digest; EmomtlError where it is damaged, or another run's."""
    return unsealed(path, read_json(path), run)


def unsealed(path: Path, sealed: Mapping[str, Any], run: str | None) -> dict[str, Any]:
    """An object read from `path`, without its digest; EmomtlError where that does not fit."""
    content = {name: value for name, value in sealed.items() if name != KEY}
    if KEY in sealed and sealed[KEY] != _digest(_canonical(content), run):
        raise damaged(path, CHANGED)
    return content


def write_sealed_text(path: Path, text: str, run: str | None) -> None:
    """Replace a file by TOML text with its digest in a last line, a comment."""
    data = text.encode()
    write_bytes(path, data + f"# sha256 {_digest(data, run)}\n".encode())


def check_sealed_text(path: Path, run: str | None, needed: bool) -> None:
    """EmomtlError where the digest does not fit, or where it is `needed` and missing (cut off)."""
    data = read_bytes(path)
    line = LINE.search(data)
    if line is None and needed:
        raise damaged(path, "its last line, with the digest, is missing")
    if line is not None and line[1].decode() != _digest(data[: line.start()], run):
        raise damaged(path, CHANGED)


def seal_folder(folder: Path, run: str | None) -> None:
    """List the files of a folder with their digests, in a file beside them."""
    write_sealed(folder / LIST, {"files": _digests(folder)}, run)


def check_folder(folder: Path, run: str | None) -> None:
    """EmomtlError where the files of a folder are not those that were listed."""
    if not (folder / LIST).exists():
        return
    listed, present = read_sealed(folder / LIST, run).get("files"), _digests(folder)
    listed = listed if isinstance(listed, dict) else {}
    # 0.1.0 listed its own temporary file where it went on with a start that was killed
    listed.pop(f".tmp-{LIST}", None)
    for name in sorted(listed.keys() | present.keys()):
        if listed.get(name) != present.get(name):
            raise damaged(folder / name, CHANGED if name in present else "it is missing")


def _digests(folder: Path) -> dict[str, str]:
    with storage(folder, "read"):
        return {path.name: sha256_of(path) for path in folder.iterdir() if path.name != LIST}


def _canonical(obj: Mapping[str, Any]) -> bytes:
    return json.dumps(obj, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes, run: str | None) -> str:
    owner = (run or "").encode(errors="backslashreplace")
    return hashlib.sha256(owner + b"\n" + data).hexdigest()
