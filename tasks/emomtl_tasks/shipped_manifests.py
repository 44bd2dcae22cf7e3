"""The manifests and studies that come with emomtl, for `emomtl init --from NAME` and `emomtl study
NAME`.
"""

from __future__ import annotations

from pathlib import Path

from emomtl import hookimpl


def folder() -> Path:
    """Where the manifests are: inside the package in an installed wheel, beside it in a source
    checkout.
    """
    package = Path(__file__).resolve().parent
    inside = package / "manifests"
    return inside if inside.is_dir() else package.parent / "manifests"


def _files(subfolder: str) -> dict[str, Path]:
    """The TOML files of a subfolder by their names without ending, in alphabetical order."""
    return {path.stem: path for path in sorted((folder() / subfolder).glob("*.toml"))}


@hookimpl
def emomtl_manifests() -> dict[str, Path]:
    return _files(".")


@hookimpl
def emomtl_studies() -> dict[str, Path]:
    return _files("study")


@hookimpl
def emomtl_claims() -> dict[str, Path]:
    return _files("claims")
