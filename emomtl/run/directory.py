"""A run's folder: made, opened, locked, and written to in one place."""

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
ABOUT, MANIFEST, ENVIRONMENT, CHECKPOINTS = "run.json", "manifest.toml", "environment.json", "checkpoints"
SCORES, ENCODER = "scores.json", "encoder"
KEPT = ("features", "plugins")
"""Folders with single files that a run keeps of what it was trained with."""
WRITTEN = {HOLDER, MANIFEST, ENVIRONMENT, ABOUT}
UNFINISHED = {LOCK, STUDY_LOCK, CHECKPOINTS} | WRITTEN | {f".tmp-{name}" for name in WRITTEN}


class Run:
    """One run and its folder: name, manifest, environment, and what it writes down as it goes.

    Made by `Run.create` or `Run.open`. Events and checkpoints are written only by the process that holds the lock;
    scores and log lines may come from others too. `identity` is in all of its checkpoints, so that those of another run are
    none of its own; None for a run of before 0.1.0, which had none.

    Where `writes` is False, another process of the same training is the run's writer: events and log lines of this
    one are dropped, and an amendment is made in memory alone.
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
        """Make the folder of a new run and lock it.

        `environment` is what JSON can hold. EmomtlError where the folder holds a run or anything else, is in use,
        or cannot be written. `run.json` is written last: a folder without it is no run, and may be used again.
        """
        from emomtl.manifest import write_manifest
        from emomtl.version import __version__

        folder = Path(folder).absolute()
        _refuse_foreign(folder)
        _make_folder(folder)
        lock = RunLock(folder)
        lock.acquire()
        try:
            _refuse_taken(folder)
            _refuse_ways_out(folder)
            _make_folder(folder / CHECKPOINTS)
            identity = uuid.uuid4().hex
            write_sealed_text(folder / MANIFEST, write_manifest(manifest), identity)
            write_sealed(folder / ENVIRONMENT, environment, identity)
            about = {"format": FORMAT, "emomtl": __version__, "name": manifest.name, "id": identity}
            write_sealed(folder / ABOUT, about, None)
        except BaseException:
            lock.release()
            raise
        return Run(manifest.name, folder, manifest, environment, lock, identity)

    @staticmethod
    def open(folder: Path, lock: bool = False, writes: bool = True) -> Run:
        """Open a run that exists; with `lock` as its only writer, and without `writes` as a process that writes nothing.

        EmomtlError where there is none, where another format version wrote it, where a file is damaged, or where it is in use.
        """
        from emomtl.manifest import read_manifest, with_old_values

        folder = Path(folder).absolute()
        name, identity, sealed = _read_about(folder)
        owner = RunLock(folder)
        if lock:
            owner.acquire()
        try:
            for needed in (MANIFEST, ENVIRONMENT, CHECKPOINTS):
                if not (folder / needed).exists():
                    raise damaged(folder / needed, "it is missing from the run")
            check_sealed_text(folder / MANIFEST, identity, needed=sealed)
            manifest = with_old_values(read_manifest(folder / MANIFEST))
            return Run(name, folder, manifest, _read_environment(folder, identity), owner, identity, writes)
        except BaseException:
            owner.release()
            raise

    def amend(self, manifest: Manifest, environment: Mapping[str, Any]) -> None:
        """Write another manifest and environment, where a resume was allowed to change them; needs the lock."""
        from emomtl.manifest import write_manifest

        if self.writes:
            self.must_hold()
            # the environment first: it says what was there before
            write_sealed(self.folder / ENVIRONMENT, environment, self.identity)
            write_sealed_text(self.folder / MANIFEST, write_manifest(manifest), self.identity)
        self.manifest, self.environment = manifest, MappingProxyType(dict(environment))

    @property
    def plugin_files(self) -> list[Path]:
        """The run's own copies of the plugin files that its manifest lists: code, which only who trusts it should run."""
        return [self.folder / "plugins" / Path(name).name for name in self.manifest.plugins if name.endswith(".py")]

    def lock(self) -> None:
        """Become the run's only writer, or raise EmomtlError at once that says which process is it."""
        self._lock.acquire()

    def keep_encoder(self, write: Callable[[Path], None]) -> None:
        """Let `write` fill a new `encoder/`; it takes that name once it is whole, sealed and on the disk. Needs the lock.

        After a kill at any moment the old folder is there or the new one, once `tidy` was called.
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
        # a folder that has files cannot be replaced by a rename, so the old one steps aside first
        if final.exists():
            move(final, old)
        move(aside, final)
        fsync_folder(self.folder)
        if old.exists():
            remove(old)

    def tidy(self) -> None:
        """Remove what a killed writer left half-written; put an old `encoder/` back where the new one had not come yet."""
        self.must_hold()
        final = self.folder / ENCODER
        if _old_of(final).exists() and not final.exists():
            move(_old_of(final), final)
            fsync_folder(self.folder)
        left = [aside_of(self.folder / name) for name in (ENCODER, *WRITTEN)]
        left += [path for name in KEPT for path in (self.folder / name).glob(".tmp-*")]
        for path in (_old_of(final), *left):
            if os.path.lexists(path):
                remove(path)
        record.drop_unfinished(self.folder / SCORES)

    def kept_encoder(self) -> Path:
        """The folder with the encoder's configuration and tokenizer; EmomtlError where a file is not the one that was written."""
        _refuse_other_encodings(self.folder)
        if (self.folder / ENCODER).is_dir():
            check_folder(self.folder / ENCODER, self.identity)
        return self.folder / ENCODER

    def must_hold(self) -> None:
        """RuntimeError where this process does not hold the lock: the caller forgot `lock=True`."""
        if not self._lock.held:
            raise RuntimeError(f"{self.folder}: only the process that holds the run's lock may write this")

    def close(self) -> None:
        """Close the files and give the lock back; the run can still be read."""
        self._events.close()
        self._lock.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def log_event(self, event: str, **fields: Any) -> None:
        """Append one line to metrics.jsonl; floats come back exactly, NaN and infinities are a ValueError."""
        if self.writes:
            self.must_hold()
            self._events.append({"event": event, **fields})

    def events(self) -> Iterator[dict[str, Any]]:
        """Every event; a torn last line is dropped, any other damaged one is an EmomtlError with its number."""
        return self._events.read()

    def events_size(self) -> int:
        """Bytes of metrics.jsonl, all of them on the disk: what a checkpoint notes for `cut_events`; needs the lock."""
        self.must_hold()
        return self._events.size()

    def cut_events(self, size: int) -> None:
        """Forget the events after the first `size` bytes, so that a resumed run does not tell them twice."""
        if self.writes:
            self.must_hold()
            self._events.cut(size)

    def add_scores(self, entry: Mapping[str, Any]) -> int:
        """Append an evaluation to scores.json; returns how many there are now of the same `split`, rows and `checkpoint`."""
        return record.add_scores(self.folder / SCORES, entry, self.identity)

    def scores(self) -> list[dict[str, Any]]:
        """Every evaluation, oldest first, each with its `look`."""
        return record.read_scores(self.folder / SCORES, self.identity)

    def log(self, line: str) -> None:
        """Append a line to log.txt; control characters are escaped."""
        if not self.writes:
            return
        with storage(self.folder):
            os.stat(self.folder / ABOUT)  # where another folder was put in its place, no log is begun there
        record.append_text(self.folder / "log.txt", line)


def check_new(folder: Path) -> None:
    """EmomtlError where no new run can be made in a folder, as it holds one or anything else; nothing is written."""
    folder = Path(folder).absolute()
    _refuse_foreign(folder)
    if folder.exists():
        _refuse_taken(folder)


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, whole or interrupted; what a crash left of one that was being made is none."""
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
    """Refuse a folder that holds something else, before anything (the lock, too) is written into it."""
    _refuse_other_encodings(folder)
    with storage(folder, "read"):
        if folder.exists() and not folder.is_dir():
            raise EmomtlError(trouble(folder, "a file, not a folder", "choose another folder with --out"))
        names = set(os.listdir(folder)) if folder.exists() else set()
    if names and not names & {LOCK, STUDY_LOCK, ABOUT}:
        raise _not_empty(folder, names)


def _refuse_taken(folder: Path) -> None:
    """Refuse, under the lock, a folder that holds a run; what a crash left of one that was being made may be overwritten."""
    with storage(folder, "read"):
        names = set(os.listdir(folder))
    if ABOUT in names:
        remedy = "go on with it by --resume, or choose another folder with --out"
        raise EmomtlError(trouble(folder, "holds a run already", remedy))
    if names - UNFINISHED:
        raise _not_empty(folder, names - UNFINISHED)


def _refuse_other_encodings(folder: Path) -> None:
    """Refuse a name that is no UTF-8: tokenizers and safetensors cannot open files below it."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        remedy = "rename it, or choose another folder with --out"
        raise EmomtlError(trouble(folder, "this name is not UTF-8, and tokenizers cannot open files below it", remedy)) from error


def _not_empty(folder: Path, names: set[str]) -> EmomtlError:
    some = ", ".join(clean(name, 40) for name in sorted(names)[:3])
    return EmomtlError(trouble(folder, f"not empty and not a run (it holds {some})", "choose another folder with --out"))


def _refuse_ways_out(folder: Path) -> None:
    """Refuse links that lead out of a run's folder, through which one would read or write elsewhere, and pipes and devices."""
    home = folder.resolve()
    with storage(folder, "read"):
        problems = []
        for root, folders, files in os.walk(folder):
            for path in (Path(root, name) for name in sorted(folders + files)):
                if path.is_symlink() and not path.resolve().is_relative_to(home):
                    problems.append(trouble(path, "a link that leads out of the run's folder", "put what it means in its place"))
                elif not path.is_symlink() and os.path.lexists(path) and not (path.is_dir() or path.is_file()):
                    # what has vanished meanwhile is a file that the run's writer has renamed or removed
                    problems.append(trouble(path, "neither a file nor a folder", "remove it"))
    if problems:
        raise EmomtlError(*problems[:10])


def _read_environment(folder: Path, identity: str | None) -> dict[str, Any]:
    """What the run noted of where and on what it ran; tables that are read later on are checked."""
    found = read_sealed(folder / ENVIRONMENT, identity)
    for key in ("data", "features"):
        if not (isinstance(table := found.get(key, {}), dict) and all(isinstance(one, str) for one in table.values())):
            raise damaged(folder / ENVIRONMENT, f"`{key}` is no table of digests")
    pairs = found.get("pairs", [])
    if not (isinstance(pairs, list) and all(isinstance(one, str) for one in pairs)):
        raise damaged(folder / ENVIRONMENT, "`pairs` is no list of tasks")
    records = found.get("plugins", {})
    known = isinstance(records, dict) and all(
        isinstance(record, dict) and all(isinstance(record.get(key), str) for key in ("module", "distribution", "sha256"))
        for record in records.values()
    )
    if not _are_changes(found.get("changes", [])):
        raise damaged(folder / ENVIRONMENT, "`changes` is not what emomtl writes")
    if not known or not isinstance(found.get("start", {}), dict):
        raise damaged(folder / ENVIRONMENT, f"`{'start' if known else 'plugins'}` is not what emomtl writes")
    return found


def _are_changes(found: object) -> bool:
    """Whether it is a list of what resumes of the run have changed: steps, with tables of what was there before."""
    if not isinstance(found, list) or not all(isinstance(one, dict) and isinstance(one.get("step"), int) for one in found):
        return False
    tables = [one.get("environment") for one in found]
    if not all(isinstance(table, dict) for table in tables):
        return False
    inner = [table.get(key, {}) for table in tables for key in ("data", "plugins")]
    if not all(isinstance(one, dict) for one in inner):
        return False
    records = [record for table in tables for record in table.get("plugins", {}).values()]
    return all(isinstance(record, dict) and "sha256" in record for record in records)


def _read_about(folder: Path) -> tuple[str, str | None, bool]:
    """The run's name, its identity, and whether its files say digests, from run.json; nothing in the folder leads out of it."""
    path = folder / ABOUT
    if not path.exists():
        raise EmomtlError(trouble(folder, "no run here (there is no run.json)", "name a folder that `emomtl train` made"))
    _refuse_ways_out(folder)
    about = read_json(path)
    if about.get("format") != FORMAT:
        version, writer = clean(str(about.get("format"))), clean(str(about.get("emomtl")))
        found = f"a run of format {version} by emomtl {writer}; this emomtl reads format {FORMAT}"
        raise EmomtlError(trouble(path, found, "read it with the emomtl that wrote it"))
    sealed, about = KEY in about, unsealed(path, about, None)
    if not isinstance(about.get("name"), str):
        raise damaged(path, "`name` is not text")
    if not isinstance(about.get("id"), str | None):
        raise damaged(path, "`id` is not text")
    return about["name"], about.get("id"), sealed
