"""One checkpoint: written aside, hashed, renamed; read only where every byte is the one that was written.

A checkpoint `step-00000500/` holds one `PART.safetensors` a part, `state.json`, and `sha256.txt`, which lists them and itself.
Nothing in it is a pickle, so reading one runs no code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.metrics.selection import EMA
from emomtl.safety.files import fsync_file, fsync_folder, move, read_bytes, remove, require_space, storage, trouble, write_new
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
    """A checkpoint that was verified: its folder, its step, its state, its run's identity, and its tensors when asked for."""

    path: Path
    step: int
    state: dict[str, Any]
    files: Mapping[str, tuple[str, int]]
    run: str | None = None

    def tensors(self, part: str) -> dict[str, Tensor]:
        """The tensors of a part by name, on the CPU, each with memory of its own.

        They are made of the very bytes that were hashed. EmomtlError for a part that is not there, or a file that has changed.
        """
        from safetensors.torch import load

        digest, _ = self._listed(part)
        path = self.path / (part + SUFFIX)
        data = read_bytes(path, sys.maxsize)
        if hashlib.sha256(data).hexdigest() != digest:
            raise EmomtlError(_damage(path, "it has changed since it was opened"))
        try:
            tensor_header(data, len(data))
            tensors: dict[str, Tensor] = load(data)
            return tensors
        except Exception as error:  # the library has no one error for what it cannot read
            raise EmomtlError(_damage(path, f"no tensors can be read from it: {clean(str(error))}")) from error

    def weights(self, which: str) -> dict[str, Tensor]:
        """The tensors of the model with its raw or its averaged weights; what has no average is the same in both."""
        tensors = self.tensors("model")
        if which == EMA and self.has(EMA):
            averaged = self.tensors(EMA)
            tensors |= {name: tensor for name, tensor in averaged.items() if name in tensors}
        return tensors

    def has(self, part: str) -> bool:
        """Whether the checkpoint has a part: `emomtl slim` removes the optimiser's."""
        return part + SUFFIX in self.files

    def size(self, part: str) -> int:
        """The bytes of a part's file; EmomtlError for a part that is not there."""
        return self._listed(part)[1]

    def _listed(self, part: str) -> tuple[str, int]:
        if part + SUFFIX not in self.files:
            parts = [known.removesuffix(SUFFIX) for known in self.files if known != STATE]
            raise EmomtlError(trouble(self.path, f"no part {clean(part)!r}", suggest(part, parts)))
        return self.files[part + SUFFIX]

    def shapes(self, part: str) -> dict[str, tuple[int, ...]]:
        """The shapes of a part's tensors by name, from its header alone; EmomtlError where it has none."""
        self._listed(part)
        path = self.path / (part + SUFFIX)
        with storage(path, "read"), open(path, "rb") as handle:
            try:
                return tensor_header(handle.read(8 + MOST_HEADER), os.fstat(handle.fileno()).st_size)[0]
            except ValueError as error:
                raise EmomtlError(_damage(path, clean(str(error), 200))) from error

    @property
    def labels(self) -> dict[str, list[str]]:
        """What each task's head answers with, by task; EmomtlError where a training run did not write the checkpoint."""
        found = self.state.get("labels")
        lists = list(found.values()) if isinstance(found, dict) else [None]
        if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
            raise EmomtlError(_damage(self.path / STATE, "it does not say what the heads answer with"))
        return dict(found or {})


def save_checkpoint(run: Run, step: int, parts: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> Path:
    """Write `checkpoints/step-NNNNNNNN/` and return it once it is on the disk as a whole.

    `parts` are tensors by part (`model`, `optimizer`, ...) and name, of any device, layout and sharing; `state` is what JSON
    holds (string keys; they come back sorted). Raises EmomtlError where the disk refuses: earlier checkpoints are untouched.
    A checkpoint of that step that is there already stays where it is the same, and is replaced safely where it is not.
    """
    run.must_hold()
    if unfit := [part for part in parts if not PART.fullmatch(part)]:
        raise ValueError(f"a part is named by lower-case letters, digits, - and _, not {unfit}")
    text = canonical({"run": run.identity, "state": dict(state), "step": step})
    final = run.checkpoints / f"step-{step:08d}"
    tensors = sum(tensor.numel() * tensor.element_size() + 256 for part in parts.values() for tensor in part.values())
    require_space(run.checkpoints, tensors + len(text) + 4096 * (len(parts) + 3))
    aside = run.checkpoints / f".tmp-{step}-{os.getpid()}"
    if aside.exists():
        remove(aside)
    try:
        with storage(final):
            os.mkdir(aside)
            _write_files(aside, parts, text)
        fsync_folder(aside)
        _publish(aside, final)
    except Exception:
        with suppress(EmomtlError):
            remove(aside)
        raise
    return final


def drop_part(run: Run, checkpoint: Checkpoint, part: str) -> int:
    """Replace a checkpoint that was verified by the same without one part, and return the bytes of that part.

    The other files keep their bytes and their digests. It is written aside, as links where the disk has them, and takes
    the old one's place as `save_checkpoint` does: after a crash one of the two is there, or is put back.
    """
    run.must_hold()
    dropped = checkpoint.size(part)
    kept = {name: said for name, said in checkpoint.files.items() if name != part + SUFFIX}
    aside = run.checkpoints / f".tmp-{checkpoint.step}-{os.getpid()}"
    if aside.exists():
        remove(aside)
    try:
        with storage(checkpoint.path):
            os.mkdir(aside)
            for name in kept:
                _link_or_copy(checkpoint.path / name, aside / name)
        write_new(aside / LIST, _list_text(kept))
        fsync_folder(aside)
        _publish(aside, checkpoint.path)
    except Exception:
        with suppress(EmomtlError):
            remove(aside)
        raise
    return dropped


def _link_or_copy(old: Path, new: Path) -> None:
    """Give a file a second name, or a copy where the disk knows no second names."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
        shutil.copymode(old, new)
        fsync_file(new)


def _write_files(folder: Path, parts: Mapping[str, Mapping[str, Tensor]], text: bytes) -> None:
    """Write and sync every file of a checkpoint, its list last."""
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
    """The same values on the CPU, contiguous, and no two in one memory: tied weights are written once a name."""
    memories: set[int] = set()
    alone: dict[str, Tensor] = {}
    for name, tensor in sorted(tensors.items()):
        value = tensor.detach().resolve_conj().resolve_neg().to("cpu").contiguous()
        if value.untyped_storage().data_ptr() in memories:
            value = value.clone()
        memories.add(value.untyped_storage().data_ptr())
        alone[name] = value
    return alone


def _publish(aside: Path, final: Path) -> None:
    """Give a complete checkpoint its name. One that stands there differs or is damaged: it is kept as `.old-` until then."""
    if not final.exists():
        move(aside, final)
        fsync_folder(final.parent)
        return
    try:
        same = open_checkpoint(final).path.joinpath(LIST).read_bytes() == (aside / LIST).read_bytes()
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

    Raises EmomtlError with every file that deviates and the reason; no file is used before all have passed.
    """
    folder = Path(path).resolve()
    with storage(folder, "read"):
        if not folder.is_dir():
            raise EmomtlError(trouble(path, "no checkpoint here", "name the folder of a checkpoint"))
        listed = _read_list(folder / LIST)
        problems = _wrong_names(folder, listed)
        if not problems:
            problems = [problem for name, said in sorted(listed.items()) for problem in _wrong_file(folder / name, *said)]
        if problems:
            raise EmomtlError(*problems)
        step, state, owner = _read_state(folder)
    return Checkpoint(folder, step, state, listed, owner)


def canonical(obj: Any) -> bytes:
    """JSON with one spelling for one value: sorted keys, fixed separators; ValueError for NaN and infinities."""
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _list_text(listed: Mapping[str, tuple[str, int]]) -> bytes:
    """The one spelling of a list of files: title, sorted lines, and the hash of all that."""
    lines = [f"{TITLE} {VERSION}\n", *(f"{digest}  {size}  {name}\n" for name, (digest, size) in sorted(listed.items()))]
    body = "".join(lines).encode()
    return body + f"{hashlib.sha256(body).hexdigest()}  list\n".encode()


def _read_list(path: Path) -> dict[str, tuple[str, int]]:
    """Read sha256.txt; refuse any spelling but the one that emomtl writes."""
    if not os.path.lexists(path):
        raise EmomtlError(_damage(path, "it is missing"))
    if wrong := _not_regular(path):
        raise EmomtlError(*wrong)
    if path.stat().st_size > MAX_LIST:
        raise EmomtlError(_damage(path, f"larger than {MAX_LIST} bytes"))
    data = path.read_bytes()
    lines = data.decode("ascii", "replace").split("\n")
    if (version := re.fullmatch(rf"{TITLE} (\d+)", lines[0])) and version[1] != str(VERSION):
        found = f"a checkpoint of format {clean(version[1])}; this emomtl reads format {VERSION}"
        raise EmomtlError(trouble(path, found, "read it with the emomtl that wrote it"))
    matches = [match for line in lines[1:-2] if (match := LINE.fullmatch(line))]
    listed = {match[3]: (match[1], int(match[2])) for match in matches}
    if _list_text(listed) != data or STATE not in listed:
        raise EmomtlError(_damage(path, "not the list that was written"))
    return listed


def _wrong_names(folder: Path, listed: Mapping[str, tuple[str, int]]) -> list[Problem]:
    """Files that are missing, that nobody listed, or that are no regular files."""
    there = {entry.name for entry in folder.iterdir()} - {LIST}
    problems = [_damage(folder / name, "it is missing") for name in sorted(listed.keys() - there)]
    problems += [_damage(folder / name, "it does not belong to the checkpoint") for name in sorted(there - listed.keys())]
    return problems + [problem for name in sorted(there & listed.keys()) for problem in _not_regular(folder / name)]


def _not_regular(path: Path) -> list[Problem]:
    return [] if stat.S_ISREG(path.lstat().st_mode) else [_damage(path, "it is a link or a device, not a file")]


def _wrong_file(path: Path, digest: str, size: int) -> list[Problem]:
    """What is wrong with one file: its size, its header, or its content."""
    if (found := path.stat().st_size) != size:
        return [_damage(path, f"it has {found} bytes, {size} were written")]
    if sha256_of(path) != digest:
        return [_damage(path, "its SHA-256 is not the one that was written")]
    if path.suffix == SUFFIX:
        with open(path, "rb") as handle:
            header = int.from_bytes(handle.read(8), "little")
        if header > min(MOST_HEADER, size):
            return [_damage(path, f"its header claims {header} bytes")]
    return []


def _read_state(folder: Path) -> tuple[int, dict[str, Any], str | None]:
    """Step, state and the identity of the run; a folder that was renamed to another step is refused."""
    path = folder / STATE
    try:
        found = loads(read_bytes(path))
        step, state, owner = found["step"], found["state"], found.get("run")
    except (ValueError, KeyError, TypeError) as error:
        raise EmomtlError(_damage(path, "not the state of a checkpoint")) from error
    if type(step) is not int or not isinstance(state, dict) or not isinstance(owner, str | None):
        raise EmomtlError(_damage(path, "not the state of a checkpoint"))
    if (named := STEP.fullmatch(folder.name)) and int(named[1]) != step:
        raise EmomtlError(_damage(path, f"it is of step {step}, and the folder is named {folder.name}"))
    return step, state, owner


def _damage(path: Path, reason: str) -> Problem:
    return trouble(path, f"damaged: {reason}", UNFIT)
