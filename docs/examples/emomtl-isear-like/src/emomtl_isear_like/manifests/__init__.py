"""The manifests of this plugin, for `emomtl init --from NAME`."""

from __future__ import annotations

from pathlib import Path

from emomtl import hookimpl


@hookimpl
def emomtl_manifests() -> dict[str, Path]:
    """Offer `isear-like-with-demo`."""
    return {"isear-like-with-demo": Path(__file__).resolve().parent / "isear-like-with-demo.toml"}


@hookimpl
def emomtl_studies() -> dict[str, Path]:
    """Offer `isear-like-alone-or-not`."""
    return {"isear-like-alone-or-not": Path(__file__).resolve().parent / "isear-like-alone-or-not.study.toml"}


@hookimpl
def emomtl_claims() -> dict[str, Path]:
    """Offer `learned-weights-help`."""
    return {"learned-weights-help": Path(__file__).resolve().parent / "learned-weights-help.claims.toml"}
