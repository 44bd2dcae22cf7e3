"""Files that a command takes by path or by the name of a shipped one: `emomtl train quickstart`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from emomtl.errors import EmomtlError, Problem, clean, suggest

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.plugins.discovery import Plugins

Kind = Literal["manifest", "study", "claims"]


def shipped(plugins: Plugins, kind: Kind) -> dict[str, Path]:
    """The shipped files of a kind by name."""
    return {name: Path(offer.value) for name, offer in plugins.offers(kind).items()}


def file_of(given: str | Path, plugins: Plugins, kind: Kind) -> tuple[Path, Path | None]:
    """The file that is meant, and the folder in which its relative paths start.

    A file of that name comes before a shipped one. Paths of a shipped file start in the current
    folder, those of another file (None) where it lies. Raises `EmomtlError` for an unknown name.
    """
    path = Path(given)
    if path.is_file() or path.suffix == ".toml" or len(path.parts) != 1:
        return path, None
    known = shipped(plugins, kind)
    if path.name in known:
        return known[path.name], Path.cwd()
    if path.exists():  # a folder, which is refused where it is read
        return path, None
    what = "set of claims" if kind == "claims" else kind
    found = f"there is no file of this name and no shipped {what}"
    raise EmomtlError(Problem(clean(path.name), found, suggest(path.name, known)))


def compose_given(given: Path, overrides: Sequence[str], plugins: Plugins) -> Plan:
    """The plan of a manifest that is a file or a shipped one's name."""
    from emomtl.compose import compose_file

    path, folder = file_of(given, plugins, "manifest")
    return compose_file(path, overrides, plugins, folder)
