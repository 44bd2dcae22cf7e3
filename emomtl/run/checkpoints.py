"""The checkpoints of a run: which exist, which are `last` and `best`, which to resume from, which
to remove.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.metrics.selection import EMA, RAW
from emomtl.run.checkpoint import (
    OPTIMIZER,
    STATE,
    STEP,
    SUFFIX,
    Checkpoint,
    drop_part,
    open_checkpoint,
    save_checkpoint,
)
from emomtl.run.directory import Run
from emomtl.safety.files import fsync_folder, move, remove, replace_link, storage, trouble

if TYPE_CHECKING:
    from torch import Tensor

POINTERS = ("last", "best")
TRIES = 5
"""How often a checkpoint is looked for whose run prunes it while it is read."""


def find_checkpoint(run: Run, which: str) -> Path:
    """The folder of a checkpoint: `last`, `best`, `step-00000500` or `500`.

    EmomtlError with the names of those that exist.
    """
    published = _published(run)
    known = "there are none yet"
    if published:
        pointers = [pointer for pointer in POINTERS if _target(run, pointer)]
        known = f"known: {', '.join([*pointers, *(path.name for path in published)])}"
    if which in POINTERS:
        if target := _target(run, which):
            return target
        raise EmomtlError(trouble(run.checkpoints, f"no checkpoint is marked `{which}`", known))
    if number := re.fullmatch(r"(?:step-)?(\d{1,18})", which, re.ASCII):
        for path in published:
            if _step(path) == int(number[1]):
                return path
    raise EmomtlError(trouble(run.checkpoints, f"no checkpoint {clean(which)!r}", known))


def open_own(run: Run, path: Path) -> Checkpoint:
    """`open_checkpoint`, and EmomtlError for a checkpoint that another run has written."""
    checkpoint = open_checkpoint(path)
    if checkpoint.run != run.identity:
        remedy = "put this run's own checkpoint back, or remove the folder"
        raise EmomtlError(trouble(path, "this checkpoint was written by another run", remedy))
    return checkpoint


def open_which(run: Run, which: str) -> Checkpoint:
    """Find and verify a checkpoint; EmomtlError as of `find_checkpoint` and `open_own`.

    Where the run prunes it meanwhile, `which` is looked up again.
    """
    for _ in range(TRIES):
        path = find_checkpoint(run, which).resolve()
        try:
            return open_own(run, path)
        except EmomtlError:
            if path.is_dir():
                raise
    found = f"checkpoint {clean(which)!r} was pruned while it was read"
    remedy = (
        "the run trains and prunes faster than this reads: try again, or wait until it has finished"
    )
    raise EmomtlError(trouble(run.checkpoints, found, remedy))


def choose_weights(run: Run, checkpoint: Checkpoint, asked: str | None, place: str) -> str:
    """Which weights of a checkpoint to load, RAW or EMA: those asked for, else the run's choice.

    The run's choice are those by which its best checkpoint was chosen. EmomtlError at `place` where
    the checkpoint does not have them.
    """
    if asked not in (None, RAW, EMA):
        found = f"'{clean(str(asked))}' is not known"
        raise EmomtlError(Problem(place, found, f"'{RAW}' or '{EMA}'"))
    slimmed_to = checkpoint.state.get("weights")
    if slimmed_to in (RAW, EMA):
        if asked not in (None, slimmed_to):
            found = f"the run was slimmed to its '{slimmed_to}' weights"
            raise EmomtlError(Problem(place, found, f"take '{slimmed_to}'"))
        return str(slimmed_to)
    if checkpoint.has(EMA):
        return asked or run.manifest.eval.weights or RAW
    if asked == EMA:
        found = f"{checkpoint.path.name} of '{run.name}' has no averaged weights"
        remedy = f"take '{RAW}'; a run with `train.ema` keeps averages"
        raise EmomtlError(Problem(place, found, remedy))
    return RAW


def point(run: Run, which: str, path: Path) -> None:
    """Let `last` or `best` mean the checkpoint at `path`, durably."""
    run.must_hold()
    if which not in POINTERS or not _is_checkpoint(run.checkpoints / path.name):
        pointers = " and ".join(POINTERS)
        raise ValueError(
            f"{which!r} cannot point at {path}: {pointers} point at checkpoints of the run"
        )
    replace_link(run.checkpoints / which, run.checkpoints / path.name)


def resume_point(run: Run) -> Checkpoint | None:
    """The verified checkpoint to resume from: `last`, else the newest; None where there is none.

    Removes what a crash left behind. A damaged checkpoint is never passed over in silence:
    EmomtlError names it and the last good one.
    """
    run.must_hold()
    _tidy(run)
    published = _published(run)
    if not published:
        return None
    chosen = _target(run, "last") or published[-1]
    try:
        return open_own(run, chosen)
    except EmomtlError as error:
        others = [path for path in reversed(published) if path != chosen]
        raise _with_last_good(run, error, others) from error


def align(run: Run, checkpoint: Checkpoint, best_step: int | None) -> None:
    """Let `last`, `best` and the folders be as they were when training had saved a checkpoint.

    A kill between a checkpoint, its links and pruning leaves `best` at a step that had not been
    reached when `last` was written, or an old checkpoint that nobody would prune any more.
    """
    point(run, "last", checkpoint.path)
    best = run.checkpoints / f"step-{best_step or checkpoint.step:08d}"
    if _is_checkpoint(best):
        point(run, "best", best)
    prune(run, [path for path in _published(run) if _step(path) > checkpoint.step])


def prune(run: Run, keep: Collection[Path]) -> None:
    """Remove the checkpoints that are neither in `keep` nor meant by `last` or `best`.

    Each is renamed before it is removed, so that no incomplete one has a checkpoint's name.
    """
    run.must_hold()
    names = {Path(path).resolve().name for path in keep}
    names.update(target.name for which in POINTERS if (target := _target(run, which)))
    doomed = []
    for path in _published(run):
        if path.name not in names:
            aside = path.with_name(f".del-{path.name}")
            if aside.exists():
                remove(aside)
            move(path, aside)
            doomed.append(aside)
    if doomed:
        fsync_folder(run.checkpoints)
    for path in doomed:
        remove(path)


def slim(run: Run, weights: str | None = None) -> dict[str, int]:
    """Remove the optimiser's state from every checkpoint of a finished run; returns bytes freed by
    name.

    With `weights`, RAW or EMA, of a run that keeps an average of its weights only these are left,
    as the model. EmomtlError, before anything is changed, where the run has not finished, since it
    could not be resumed then, or has no such weights.
    """
    run.must_hold()
    _tidy(run)
    last = open_own(run, find_checkpoint(run, "last"))
    scored = {entry.get("which") for entry in run.scores() if entry.get("by") == "train"}
    if not last.state.get("run", {}).get("finished") or not {"last", "best"} <= scored:
        found = "has not finished, and needs its optimiser's state"
        remedy = (
            "finish it with `emomtl train MANIFEST --resume`: without that state no run can go on"
        )
        raise EmomtlError(trouble(run.folder, found, remedy))
    checkpoints = [open_own(run, path) for path in _published(run)]
    if weights is not None:
        _refuse_without(weights, checkpoints)
    freed: dict[str, int] = {}
    for checkpoint in checkpoints:
        if weights is not None and checkpoint.has(EMA):
            parts = _without_other_weights(checkpoint, weights)
            save_checkpoint(run, checkpoint.step, parts, {**checkpoint.state, "weights": weights})
        elif checkpoint.has(OPTIMIZER):
            drop_part(run, checkpoint, OPTIMIZER)
        else:
            continue
        slimmed = open_own(run, checkpoint.path)
        freed[checkpoint.path.name] = _bytes(checkpoint) - _bytes(slimmed)
    return freed


def _refuse_without(weights: str, checkpoints: Collection[Checkpoint]) -> None:
    """EmomtlError that names the checkpoints in which there is no choice of weights."""
    found = (
        "it has no choice of weights: either it was trained without `train.ema`, or slimmed to the"
        " others"
    )
    problems = []
    for checkpoint in checkpoints:
        if not checkpoint.has(EMA) and checkpoint.state.get("weights") != weights:
            problems.append(trouble(checkpoint.path, found, "leave --weights out"))
    if problems:
        raise EmomtlError(*problems)


def _without_other_weights(checkpoint: Checkpoint, weights: str) -> dict[str, dict[str, Tensor]]:
    """The parts of a checkpoint with raw or averaged weights as its model, and no optimiser's
    state.
    """
    parts = {"model": checkpoint.weights(weights)}
    for name in checkpoint.files:
        part = name.removesuffix(SUFFIX)
        if name != STATE and part not in ("model", OPTIMIZER, EMA):
            parts[part] = checkpoint.tensors(part)
    return parts


def _bytes(checkpoint: Checkpoint) -> int:
    return sum(size for _, size in checkpoint.files.values())


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _is_checkpoint(path: Path) -> bool:
    return STEP.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()


def _published(run: Run) -> list[Path]:
    """The folders of complete checkpoints, oldest step first."""
    with storage(run.checkpoints, "read"):
        paths = [path for path in run.checkpoints.iterdir() if _is_checkpoint(path)]
    return sorted(paths, key=_step)


def _target(run: Run, which: str) -> Path | None:
    """What a pointer means; None where it is missing or dangling, EmomtlError where it is no such
    link.
    """
    link = run.checkpoints / which
    if not link.is_symlink() and not link.exists():
        return None
    name = ""
    for _ in range(TRIES):
        with storage(link, "read"):
            name = os.readlink(link) if link.is_symlink() else ""
        # where its target is missing, the run may just have moved the link, and pruned: read again
        if not STEP.fullmatch(name) or _is_checkpoint(run.checkpoints / name):
            break
    if not STEP.fullmatch(name):
        remedy = "remove it; a run goes on from its newest checkpoint where `last` is missing"
        raise EmomtlError(trouble(link, "not a link to a checkpoint beside it", remedy))
    return run.checkpoints / name if _is_checkpoint(run.checkpoints / name) else None


def _tidy(run: Run) -> None:
    """Remove unfinished and doomed checkpoints; put one back whose replacement was not finished."""
    run.tidy()
    with storage(run.checkpoints, "read"):
        paths = sorted(run.checkpoints.iterdir())
    for path in paths:
        if path.name.startswith(".old-"):
            final = path.with_name(path.name.removeprefix(".old-"))
            if final.exists():
                remove(path)
            else:
                move(path, final)
                fsync_folder(run.checkpoints)
        elif path.name.startswith((".tmp-", ".del-")):
            remove(path)


def _with_last_good(run: Run, error: EmomtlError, others: list[Path]) -> EmomtlError:
    """The error, with the problems of every checkpoint until the last good one, and the way from
    there.
    """
    problems = list(error.problems)
    remedy = (
        "no other checkpoint is good: restore one from a copy, or start again in another folder"
        " with --out"
    )
    for path in others:
        try:
            open_own(run, path)
        except EmomtlError as another:
            problems += another.problems
        else:
            remedy = (
                f"the last good checkpoint is {path.name}: to go on from it, remove the damaged "
                "folders named here and resume"
            )
            break
    return EmomtlError(*(replace(problem, remedy=remedy) for problem in problems))
