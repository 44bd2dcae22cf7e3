"""Digests of files from outside."""

from __future__ import annotations

from pathlib import Path

from emomtl.safety.untrusted import sha256_of, sha256_unless_changed


def test_a_digest_is_computed_again_when_the_file_changed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    first = sha256_unless_changed(path)
    assert first == sha256_unless_changed(path) == sha256_of(path)
    path.write_bytes(b"two")
    assert sha256_unless_changed(path) == sha256_of(path) != first
