"""The plugin files (code) that a run or a study brings along, and whether they may run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emomtl.errors import Problem, clean
from emomtl.manifest import Manifest
from emomtl.run import Run
from emomtl.safety.files import damaged, trouble
from emomtl.safety.untrusted import sha256_of


def needs_trust(folder: Path, files: Sequence[Path]) -> Problem:
    """The refusal to run code that came with a run or a study."""
    names = ", ".join(clean(path.name, 100) for path in files[:5])
    finding = f"brings code of its own along, which opening it would run with your rights: {names}"
    remedy = "read it; if you trust it, --trust-plugins (or EMOMTL_TRUST_PLUGINS=1) runs it"
    return trouble(folder, finding, remedy)


def plugin_files(manifest: Manifest, folder: Path) -> list[Path]:
    """The plugin files that a manifest lists, relative to its own folder or else to `folder`."""
    base = Path(manifest.folder or folder)
    return [base / name for name in manifest.plugins if name.endswith(".py")]


def plugin_digests(manifest: Manifest, folder: Path) -> frozenset[str]:
    """The SHA-256 of the plugin files that a manifest lists.

    A run's copies of the very same bytes may be trusted with them.
    """
    return frozenset(sha256_of(path) for path in plugin_files(manifest, folder) if path.is_file())


def manifest_with_copies(run: Run) -> Manifest:
    """The run's manifest, in which plugin files are the copies in the run's folder.

    EmomtlError where a copy is not what the run recorded when it began, or at a later change.
    """
    recorded: set[str] = set()
    changes = run.environment.get("changes", [])
    for record in (run.environment, *(change["environment"] for change in changes)):
        for plugin in record.get("plugins", {}).values():
            recorded.add(plugin["sha256"])
    copies: dict[str, str] = {}
    for path in run.plugin_files:
        if path.is_file() and sha256_of(path) not in recorded:
            raise damaged(path, "its SHA-256 is not the one that the run noted when it began")
        copies[path.name] = str(path)
    plugins = list(run.manifest.plugins)
    for place, name in enumerate(plugins):
        if name.endswith(".py"):
            plugins[place] = copies[Path(name).name]
    return run.manifest.model_copy(update={"plugins": tuple(plugins)})
