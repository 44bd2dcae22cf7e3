"""One checkpoint: written under a temporary name, hashed, renamed; verified before it is read.

A checkpoint `step-00000500/` holds a `PART.safetensors` for each part, `state.json`, and
`sha256.txt`, which lists them and itself. Nothing in it is a pickle, so reading one runs no code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.metrics.selection import EMA
from emomtl.safety.files import (
    fsync_file,
    fsync_folder,
    move,
    read_bytes,
    remove,
    require_space,
    storage,
    trouble,
    write_new,
)
from emomtl.safety.untrusted import MOST_HEADER, loads, sha256_of, tensor_header

if TYPE_CHECKING:
    from torch import Tensor

    from emomtl.run.directory import Run

TITLE, VERSION = "emomtl-checkpoint", 1
LIST, STATE, SUFFIX = "sha256.txt", "state.json", ".safetensors"
OPTIMIZER = "optimizer"
STEP = re.compile(r"step-(\d{8,})")
PART = re.compile(r"[a-z][a-z0-9_-]*")
LINE = re.compile(r"([0-9a-f]{64})  (0|[1-9]\d*)  ([a-z][a-z0-9_.-]*)")
MAX_LIST = 1_000_000
UNFIT = "use another checkpoint, or remove this one's folder"


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint. `files` are (SHA-256, bytes) by name, `run` is its run's identity."""

    path: Path
    step: int
    state: dict[str, Any]
    files: Mapping[str, tuple[str, int]]
    run: str | None = None

    def tensors(self, part: str) -> dict[str, Tensor]:
        """The tensors of a part by name, on the CPU, each with memory of its own.

        EmomtlError for a part that does not exist, or a file that has changed since it was opened.
        """
        from safetensors.torch import load

        digest, _ = self._listed(part)
        path = self.path / (part + SUFFIX)
        data = read_bytes(path, sys.maxsize)
        # hashed again: the tensors are made of the very bytes that were verified
        if hashlib.sha256(data).hexdigest() != digest:
            raise EmomtlError(_damage(path, "it has changed since it was opened"))
        try:
            tensor_header(data, len(data))
            tensors: dict[str, Tensor] = load(data)
            return tensors
        except Exception as error:  # the library has no one error for what it cannot read
            found = f"no tensors can be read from it: {clean(str(error))}"
            raise EmomtlError(_damage(path, found)) from error

    def weights(self, which: str) -> dict[str, Tensor]:
        """The tensors of the model: its raw weights, or with EMA those averages that were kept."""
        tensors = self.tensors("model")
        if which == EMA and self.has(EMA):
            for name, average in self.tensors(EMA).items():
                if name in tensors:
                    tensors[name] = average
        return tensors

    def has(self, part: str) -> bool:
        """Whether a part exists: `emomtl slim` removes the optimiser's."""
        return part + SUFFIX in self.files

    def size(self, part: str) -> int:
        """The bytes of a part's file; EmomtlError for a part that does not exist."""
        return self._listed(part)[1]

    def _listed(self, part: str) -> tuple[str, int]:
        if part + SUFFIX not in self.files:
            parts = [name.removesuffix(SUFFIX) for name in self.files if name != STATE]
            raise EmomtlError(trouble(self.path, f"no part {clean(part)!r}", suggest(part, parts)))
        return self.files[part + SUFFIX]

    def shapes(self, part: str) -> dict[str, tuple[int, ...]]:
        """The shapes of a part's tensors by name, from its header alone."""
        self._listed(part)
        path = self.path / (part + SUFFIX)
        with storage(path, "read"), open(path, "rb") as handle:
            try:
                size = os.fstat(handle.fileno()).st_size
                return tensor_header(handle.read(8 + MOST_HEADER), size)[0]
            except ValueError as error:
                raise EmomtlError(_damage(path, clean(str(error), 200))) from error

    @property
    def labels(self) -> dict[str, list[str]]:
        """The labels of each task's head, by task; EmomtlError where the state has none."""
        labels = self.state.get("labels")
        lists = labels.values() if isinstance(labels, dict) else [None]
        for names in lists:
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                found = "it does not say what the heads answer with"
                raise EmomtlError(_damage(self.path / STATE, found))
        return dict(labels or {})


def save_checkpoint(
    run: Run, step: int, parts: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> Path:
    """Write `checkpoints/step-NNNNNNNN/` and return it once all of it is on the disk.

    `parts` are tensors by part (`model`, `optimizer`, ...) and name, of any device, layout and
    sharing; `state` holds values of JSON (string keys; they come back sorted). EmomtlError where
    the disk refuses: earlier checkpoints are untouched. A checkpoint of that step that exists
    already stays where it is equal, and is replaced safely where it is not.
    """
    run.must_hold()
    if wrong := [part for part in parts if not PART.fullmatch(part)]:
        raise ValueError(f"a part is named by lower-case letters, digits, - and _, not {wrong}")
    text = canonical({"run": run.identity, "state": dict(state), "step": step})
    size = len(text) + 4096 * (len(parts) + 3)
    for tensors in parts.values():
        size += sum(tensor.numel() * tensor.element_size() + 256 for tensor in tensors.values())
    require_space(run.checkpoints, size)
    final = run.checkpoints / f"step-{step:08d}"
    with _published_as(final) as aside:
        _write_files(aside, parts, text)
    return final


def drop_part(run: Run, checkpoint: Checkpoint, part: str) -> int:
    """Replace a verified checkpoint by the same without one part; returns the bytes of that part.

    The other files keep their bytes and digests: they are linked, or copied where the disk has no
    links. After a crash the old checkpoint or the new one is there, or is put back.
    """
    run.must_hold()
    dropped = checkpoint.size(part)
    files = {name: entry for name, entry in checkpoint.files.items() if name != part + SUFFIX}
    with _published_as(checkpoint.path) as aside:
        for name in files:
            _link_or_copy(checkpoint.path / name, aside / name)
        write_new(aside / LIST, _list_text(files))
    return dropped


@contextmanager
def _published_as(final: Path) -> Iterator[Path]:
    """Inside, a new folder to fill; afterwards it has the checkpoint's name, or nothing has
    changed.
    """
    aside = final.parent / f".tmp-{final.name}-{os.getpid()}"
    if aside.exists():
        remove(aside)
    try:
        with storage(final):
            os.mkdir(aside)
            yield aside
        fsync_folder(aside)
        _publish(aside, final)
    except Exception:
        with suppress(EmomtlError):
            remove(aside)
        raise


def _link_or_copy(old: Path, new: Path) -> None:
    """A hard link, or a copy where the disk has no hard links."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
        shutil.copymode(old, new)
        fsync_file(new)


def _write_files(folder: Path, parts: Mapping[str, Mapping[str, Tensor]], text: bytes) -> None:
    """Write and sync every file of a checkpoint, the list of files last."""
    from safetensors.torch import save_file

    write_new(folder / STATE, text)
    mode = stat.S_IMODE(os.stat(folder / STATE).st_mode)
    for part, tensors in sorted(parts.items()):
        path = folder / (part + SUFFIX)
        save_file(_standalone(tensors), path)
        os.chmod(path, mode)  # safetensors makes files that only their owner reads
        fsync_file(path)
    listed = {path.name: (sha256_of(path), path.stat().st_size) for path in folder.iterdir()}
    write_new(folder / LIST, _list_text(listed))


def _standalone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, no two in one memory, as safetensors wants them.

    Tied weights are written once for each of their names.
    """
    memories: set[int] = set()
    standalone: dict[str, Tensor] = {}
    for name, tensor in sorted(tensors.items()):
        value = tensor.detach().resolve_conj().resolve_neg().to("cpu").contiguous()
        if value.untyped_storage().data_ptr() in memories:
            value = value.clone()
        memories.add(value.untyped_storage().data_ptr())
        standalone[name] = value
    return standalone


def _publish(aside: Path, final: Path) -> None:
    """Rename a complete checkpoint; one that has the name already steps aside as `.old-` until
    then.
    """
    if not final.exists():
        move(aside, final)
        fsync_folder(final.parent)
        return
    try:
        same = (
            open_checkpoint(final).path.joinpath(LIST).read_bytes() == (aside / LIST).read_bytes()
        )
    except EmomtlError:
        same = False
    if same:
        fsync_folder(final.parent)
        remove(aside)
        return
    old = final.with_name(f".old-{final.name}")
    if old.exists():
        remove(old)
    move(final, old)
    fsync_folder(final.parent)
    move(aside, final)
    fsync_folder(final.parent)
    remove(old)


def open_checkpoint(path: Path) -> Checkpoint:
    """Verify a checkpoint (names, kinds, sizes, hashes, version, step) and return it.

    EmomtlError with every file that deviates and why; no file is used before all have passed.
    """
    folder = Path(path).resolve()
    with storage(folder, "read"):
        if not folder.is_dir():
            raise EmomtlError(
                trouble(path, "no checkpoint here", "name the folder of a checkpoint")
            )
        listed = _read_list(folder / LIST)
        problems = _wrong_names(folder, listed)
        if not problems:
            for name, (digest, size) in sorted(listed.items()):
                problems += _wrong_file(folder / name, digest, size)
        if problems:
            raise EmomtlError(*problems)
        step, state, owner = _read_state(folder)
    return Checkpoint(folder, step, state, listed, owner)


def canonical(obj: Any) -> bytes:
    """JSON with sorted keys and fixed separators; ValueError for NaN and infinities."""
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def _list_text(listed: Mapping[str, tuple[str, int]]) -> bytes:
    """The content of sha256.txt: title, sorted lines, and the hash of all that."""
    lines = [f"{TITLE} {VERSION}\n"]
    for name, (digest, size) in sorted(listed.items()):
        lines.append(f"{digest}  {size}  {name}\n")
    body = "".join(lines).encode()
    return body + f"{hashlib.sha256(body).hexdigest()}  list\n".encode()


def _read_list(path: Path) -> dict[str, tuple[str, int]]:
    """Read sha256.txt; EmomtlError for any other spelling than the one that emomtl writes."""
    if not os.path.lexists(path):
        raise EmomtlError(_damage(path, "it is missing"))
    if wrong := _not_regular(path):
        raise EmomtlError(*wrong)
    if path.stat().st_size > MAX_LIST:
        raise EmomtlError(_damage(path, f"larger than {MAX_LIST} bytes"))
    data = path.read_bytes()
    lines = data.decode("ascii", "replace").split("\n")
    version = re.fullmatch(rf"{TITLE} (\d+)", lines[0])
    if version is not None and version[1] != str(VERSION):
        found = f"a checkpoint of format {clean(version[1])}; this emomtl reads format {VERSION}"
        raise EmomtlError(trouble(path, found, "read it with the emomtl that wrote it"))
    listed = {}
    for match in filter(None, map(LINE.fullmatch, lines[1:-2])):
        listed[match[3]] = (match[1], int(match[2]))
    if _list_text(listed) != data or STATE not in listed:
        raise EmomtlError(_damage(path, "not the list that was written"))
    return listed


def _wrong_names(folder: Path, listed: Mapping[str, tuple[str, int]]) -> list[Problem]:
    """Files that are missing, not listed, or not regular."""
    names = {entry.name for entry in folder.iterdir()} - {LIST}
    problems = []
    for name in sorted(listed.keys() - names):
        problems.append(_damage(folder / name, "it is missing"))
    for name in sorted(names - listed.keys()):
        problems.append(_damage(folder / name, "it does not belong to the checkpoint"))
    for name in sorted(names & listed.keys()):
        problems += _not_regular(folder / name)
    return problems


def _not_regular(path: Path) -> list[Problem]:
    if stat.S_ISREG(path.lstat().st_mode):
        return []
    return [_damage(path, "it is a link or a device, not a file")]


def _wrong_file(path: Path, digest: str, size: int) -> list[Problem]:
    """What is wrong with one file: its size, its content, or its header."""
    actual_size = path.stat().st_size
    if actual_size != size:
        return [_damage(path, f"it has {actual_size} bytes, {size} were written")]
    if sha256_of(path) != digest:
        return [_damage(path, "its SHA-256 is not the one that was written")]
    if path.suffix == SUFFIX:
        with open(path, "rb") as handle:
            header = int.from_bytes(handle.read(8), "little")
        if header > min(MOST_HEADER, size):
            return [_damage(path, f"its header claims {header} bytes")]
    return []


def _read_state(folder: Path) -> tuple[int, dict[str, Any], str | None]:
    """Step, state and the run's identity; EmomtlError where the folder has another step's name."""
    path = folder / STATE
    try:
        content = loads(read_bytes(path))
        step, state, owner = content["step"], content["state"], content.get("run")
    except (ValueError, KeyError, TypeError) as error:
        raise EmomtlError(_damage(path, "not the state of a checkpoint")) from error
    if type(step) is not int or not isinstance(state, dict) or not isinstance(owner, str | None):
        raise EmomtlError(_damage(path, "not the state of a checkpoint"))
    name = STEP.fullmatch(folder.name)
    if name is not None and int(name[1]) != step:
        found = f"it is of step {step}, and the folder is named {folder.name}"
        raise EmomtlError(_damage(path, found))
    return step, state, owner


def _damage(path: Path, reason: str) -> Problem:
    return trouble(path, f"damaged: {reason}", UNFIT)
