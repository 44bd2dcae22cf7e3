"""A run's folder: created, opened, locked, and written to."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, clean
from emomtl.run import record
from emomtl.run.digest import (
    KEY,
    check_folder,
    check_sealed_text,
    read_sealed,
    seal_folder,
    unsealed,
    write_sealed,
    write_sealed_text,
)
from emomtl.run.lock import HOLDER, LOCK, STUDY_LOCK, RunLock
from emomtl.safety.files import (
    aside_of,
    damaged,
    fsync_file,
    fsync_folder,
    move,
    read_json,
    remove,
    storage,
    trouble,
)

if TYPE_CHECKING:
    from emomtl.manifest.models import Manifest

FORMAT = 1
ABOUT, MANIFEST, ENVIRONMENT, CHECKPOINTS = (
    "run.json",
    "manifest.toml",
    "environment.json",
    "checkpoints",
)
SCORES, ENCODER = "scores.json", "encoder"
COPIES = ("features", "plugins")
"""Folders with copies of files that the run was trained with."""
WRITTEN = {HOLDER, MANIFEST, ENVIRONMENT, ABOUT}
UNFINISHED = {LOCK, STUDY_LOCK, CHECKPOINTS} | WRITTEN | {f".tmp-{name}" for name in WRITTEN}


class Run:
    """One run and its folder: name, manifest, environment, events, scores, checkpoints.

    Made by `Run.create` or `Run.open`. Events and checkpoints are written only by the process that
    holds the lock; scores and log lines may come from others too. `identity` is in all checkpoints,
    so that those of another run are recognised; None for a run of before 0.1.0.

    Where `writes` is False, another process of the same training is the run's writer: events and
    log lines of this one are dropped, and `amend` changes memory alone.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        manifest: Manifest,
        environment: Mapping[str, Any],
        lock: RunLock,
        identity: str | None,
        writes: bool = True,
    ) -> None:
        self.name = name
        self.folder = folder
        self.manifest = manifest
        self.environment: Mapping[str, Any] = MappingProxyType(dict(environment))
        self.checkpoints = folder / CHECKPOINTS
        self.identity = identity
        self.writes = writes
        self._lock = lock
        self._events = record.EventLog(folder / "metrics.jsonl")

    @staticmethod
    def create(folder: Path, manifest: Manifest, environment: Mapping[str, Any]) -> Run:
        """Make the folder of a new run and lock it; `environment` holds values of JSON.

        EmomtlError where the folder is not empty, in use, or cannot be written. A folder without
        `run.json` is no run and may be used again.
        """
        from emomtl.manifest import write_manifest
        from emomtl.version import __version__

        folder = Path(folder).absolute()
        _refuse_foreign(folder)
        _make_folder(folder)
        lock = RunLock(folder)
        lock.acquire()
        try:
            _refuse_run(folder)
            _refuse_odd_files(folder)
            _make_folder(folder / CHECKPOINTS)
            identity = uuid.uuid4().hex
            write_sealed_text(folder / MANIFEST, write_manifest(manifest), identity)
            write_sealed(folder / ENVIRONMENT, environment, identity)
            # run.json last: with it the folder is a run
            about = {"format": FORMAT, "emomtl": __version__, "name": manifest.name, "id": identity}
            write_sealed(folder / ABOUT, about, None)
        except BaseException:
            lock.release()
            raise
        return Run(manifest.name, folder, manifest, environment, lock, identity)

    @staticmethod
    def open(folder: Path, lock: bool = False, writes: bool = True) -> Run:
        """Open a run that exists; with `lock` as its only writer, without `writes` to write
        nothing.

        EmomtlError where there is none, where another format wrote it, where a file is damaged, or
        where it is in use.
        """
        from emomtl.manifest import read_manifest, with_old_values

        folder = Path(folder).absolute()
        name, identity, is_sealed = _read_about(folder)
        owner = RunLock(folder)
        if lock:
            owner.acquire()
        try:
            for needed in (MANIFEST, ENVIRONMENT, CHECKPOINTS):
                if not (folder / needed).exists():
                    raise damaged(folder / needed, "it is missing from the run")
            check_sealed_text(folder / MANIFEST, identity, needed=is_sealed)
            manifest = with_old_values(read_manifest(folder / MANIFEST))
            environment = _read_environment(folder, identity)
            return Run(name, folder, manifest, environment, owner, identity, writes)
        except BaseException:
            owner.release()
            raise

    def amend(self, manifest: Manifest, environment: Mapping[str, Any]) -> None:
        """Replace manifest and environment, where a resume may change them; needs the lock."""
        from emomtl.manifest import write_manifest

        if self.writes:
            self.must_hold()
            # the environment first: it records what was there before
            write_sealed(self.folder / ENVIRONMENT, environment, self.identity)
            write_sealed_text(self.folder / MANIFEST, write_manifest(manifest), self.identity)
        self.manifest, self.environment = manifest, MappingProxyType(dict(environment))

    @property
    def plugin_files(self) -> list[Path]:
        """The run's copies of plugin files: code, to be run only by who trusts it."""
        names = [Path(name).name for name in self.manifest.plugins if name.endswith(".py")]
        return [self.folder / "plugins" / name for name in names]

    def lock(self) -> None:
        """Become the run's only writer; `InUse` where another process is it."""
        self._lock.acquire()

    def keep_encoder(self, write: Callable[[Path], None]) -> None:
        """Let `write` fill a new `encoder/`, which takes that name once it is complete; needs the
        lock.

        After a kill at any moment `tidy` finds the old folder or the new one.
        """
        self.must_hold()
        self.tidy()
        final = self.folder / ENCODER
        aside, old = aside_of(final), _old_of(final)
        with storage(aside):
            os.mkdir(aside)
            write(aside)
        seal_folder(aside, self.identity)
        for path in sorted(aside.iterdir()):
            fsync_file(path)
        fsync_folder(aside)
        # a rename cannot replace a folder that has files, so the old one is renamed first
        if final.exists():
            move(final, old)
        move(aside, final)
        fsync_folder(self.folder)
        if old.exists():
            remove(old)

    def tidy(self) -> None:
        """Remove what a killed writer left incomplete; put `encoder/` back where only the old one
        exists.
        """
        self.must_hold()
        final = self.folder / ENCODER
        if _old_of(final).exists() and not final.exists():
            move(_old_of(final), final)
            fsync_folder(self.folder)
        leftovers = [_old_of(final)]
        leftovers += [aside_of(self.folder / name) for name in (ENCODER, *WRITTEN)]
        for name in COPIES:
            leftovers += (self.folder / name).glob(".tmp-*")
        for path in leftovers:
            if os.path.lexists(path):
                remove(path)
        record.drop_unfinished(self.folder / SCORES)

    def kept_encoder(self) -> Path:
        """The folder with the encoder's configuration and tokenizer; EmomtlError where it was
        changed.
        """
        _refuse_other_encodings(self.folder)
        folder = self.folder / ENCODER
        if folder.is_dir():
            check_folder(folder, self.identity)
        return folder

    def must_hold(self) -> None:
        """RuntimeError where this process does not hold the lock: the caller forgot `lock=True`."""
        if not self._lock.held:
            raise RuntimeError(
                f"{self.folder}: only the process that holds the run's lock may write this"
            )

    def close(self) -> None:
        """Close the files and release the lock; the run can still be read."""
        self._events.close()
        self._lock.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def log_event(self, event: str, **fields: Any) -> None:
        """Append a line to metrics.jsonl; ValueError for NaN and infinities. Floats come back
        exactly.
        """
        if self.writes:
            self.must_hold()
            self._events.append({"event": event, **fields})

    def events(self) -> Iterator[dict[str, Any]]:
        """Every event but a torn last one; EmomtlError with its number for a damaged line."""
        return self._events.read()

    def events_size(self) -> int:
        """Bytes of metrics.jsonl, all of them on the disk, for `cut_events`; needs the lock."""
        self.must_hold()
        return self._events.size()

    def cut_events(self, size: int) -> None:
        """Remove the events after the first `size` bytes, which a resumed run will log again."""
        if self.writes:
            self.must_hold()
            self._events.truncate(size)

    def add_scores(self, entry: Mapping[str, Any]) -> int:
        """Append an evaluation to scores.json; returns its look (see `record.add_scores`)."""
        return record.add_scores(self.folder / SCORES, entry, self.identity)

    def scores(self) -> list[dict[str, Any]]:
        """Every evaluation, oldest first, each with its `look`."""
        return record.read_scores(self.folder / SCORES, self.identity)

    def log(self, line: str) -> None:
        """Append a line to log.txt; control characters are escaped."""
        if not self.writes:
            return
        with storage(self.folder):
            # fails where the folder was replaced: no log is begun in another one
            os.stat(self.folder / ABOUT)
        record.append_text(self.folder / "log.txt", line)


def check_new(folder: Path) -> None:
    """EmomtlError where a folder is not empty, so that no new run can be made in it."""
    folder = Path(folder).absolute()
    _refuse_foreign(folder)
    if folder.exists():
        _refuse_run(folder)


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not; a crash before `run.json` was written leaves
    none.
    """
    return (Path(folder) / ABOUT).is_file()


def _old_of(folder: Path) -> Path:
    """The name of a folder while another takes its place."""
    return folder.with_name(f".old-{folder.name}")


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each durably."""
    with storage(folder):
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            fsync_folder(path.parent)


def _refuse_foreign(folder: Path) -> None:
    """EmomtlError where a folder holds something else than a run; asked before even a lock is
    written.
    """
    _refuse_other_encodings(folder)
    with storage(folder, "read"):
        if folder.exists() and not folder.is_dir():
            remedy = "choose another folder with --out"
            raise EmomtlError(trouble(folder, "a file, not a folder", remedy))
        names = set(os.listdir(folder)) if folder.exists() else set()
    if names and not names & {LOCK, STUDY_LOCK, ABOUT}:
        raise _not_empty(folder, names)


def _refuse_run(folder: Path) -> None:
    """EmomtlError where a folder holds a run; what a crash left of an unfinished one may be
    overwritten.
    """
    with storage(folder, "read"):
        names = set(os.listdir(folder))
    if ABOUT in names:
        remedy = "go on with it by --resume, or choose another folder with --out"
        raise EmomtlError(trouble(folder, "holds a run already", remedy))
    if names - UNFINISHED:
        raise _not_empty(folder, names - UNFINISHED)


def _refuse_other_encodings(folder: Path) -> None:
    """EmomtlError for a path that is not UTF-8: tokenizers and safetensors cannot open files below
    it.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        found = "this name is not UTF-8, and tokenizers cannot open files below it"
        remedy = "rename it, or choose another folder with --out"
        raise EmomtlError(trouble(folder, found, remedy)) from error


def _not_empty(folder: Path, names: set[str]) -> EmomtlError:
    some = ", ".join(clean(name, 40) for name in sorted(names)[:3])
    found = f"not empty and not a run (it holds {some})"
    return EmomtlError(trouble(folder, found, "choose another folder with --out"))


def _refuse_odd_files(folder: Path) -> None:
    """EmomtlError for links that lead out of the folder, through which other files would be read or
    written, and for pipes and devices."""
    home = folder.resolve()
    problems = []
    with storage(folder, "read"):
        for root, folders, files in os.walk(folder):
            for name in sorted(folders + files):
                path = Path(root, name)
                if path.is_symlink():
                    if not path.resolve().is_relative_to(home):
                        found = "a link that leads out of the run's folder"
                        problems.append(trouble(path, found, "put what it means in its place"))
                # a file that has vanished meanwhile was renamed or removed by the run's writer
                elif os.path.lexists(path) and not (path.is_dir() or path.is_file()):
                    problems.append(trouble(path, "neither a file nor a folder", "remove it"))
    if problems:
        raise EmomtlError(*problems[:10])


def _read_environment(folder: Path, identity: str | None) -> dict[str, Any]:
    """The content of environment.json; tables that are read later on are checked."""
    environment = read_sealed(folder / ENVIRONMENT, identity)

    def check(key: str, is_right: bool, expected: str = "not what emomtl writes") -> None:
        if not is_right:
            raise damaged(folder / ENVIRONMENT, f"`{key}` is {expected}")

    for key in ("data", "features"):
        check(key, _are_texts(environment.get(key, {}), dict), "no table of digests")
    check("pairs", _are_texts(environment.get("pairs", []), list), "no list of tasks")
    check("plugins", _are_plugins(environment.get("plugins", {})))
    check("changes", _are_changes(environment.get("changes", [])))
    check("start", isinstance(environment.get("start", {}), dict))
    return environment


def _are_texts(value: object, kind: type[dict[str, Any]] | type[list[Any]]) -> bool:
    if not isinstance(value, kind):
        return False
    return all(
        isinstance(text, str) for text in (value.values() if isinstance(value, dict) else value)
    )


def _are_plugins(table: object) -> bool:
    """Whether it is a table of plugins, each with its module, distribution and digest."""
    if not isinstance(table, dict):
        return False
    for plugin in table.values():
        if not isinstance(plugin, dict):
            return False
        if not all(
            isinstance(plugin.get(key), str) for key in ("module", "distribution", "sha256")
        ):
            return False
    return True


def _are_changes(changes: object) -> bool:
    """Whether it is a list of what resumes have changed: a step, and the environment before it."""
    if not isinstance(changes, list):
        return False
    for change in changes:
        if not isinstance(change, dict) or not isinstance(change.get("step"), int):
            return False
        before = change.get("environment")
        if not isinstance(before, dict) or not isinstance(before.get("data", {}), dict):
            return False
        plugins = before.get("plugins", {})
        if not isinstance(plugins, dict):
            return False
        if not all(isinstance(plugin, dict) and "sha256" in plugin for plugin in plugins.values()):
            return False
    return True


def _read_about(folder: Path) -> tuple[str, str | None, bool]:
    """From run.json: the run's name, its identity, and whether its files have digests."""
    path = folder / ABOUT
    if not path.exists():
        remedy = "name a folder that `emomtl train` made"
        raise EmomtlError(trouble(folder, "no run here (there is no run.json)", remedy))
    _refuse_odd_files(folder)
    about = read_json(path)
    if about.get("format") != FORMAT:
        version, writer = clean(str(about.get("format"))), clean(str(about.get("emomtl")))
        found = f"a run of format {version} by emomtl {writer}; this emomtl reads format {FORMAT}"
        raise EmomtlError(trouble(path, found, "read it with the emomtl that wrote it"))
    is_sealed = KEY in about
    about = unsealed(path, about, None)
    if not isinstance(about.get("name"), str):
        raise damaged(path, "`name` is not text")
    if not isinstance(about.get("id"), str | None):
        raise damaged(path, "`id` is not text")
    return about["name"], about.get("id"), is_sealed
