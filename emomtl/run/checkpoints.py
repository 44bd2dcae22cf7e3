"""The checkpoints of a run side by side: which there are, which is `last` and `best`, which to go on from, which to drop."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.errors import EmomtlError, clean
from emomtl.metrics.selection import EMA
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
    """The folder of a checkpoint: `last`, `best`, `step-00000500` or `500`; EmomtlError that names those that exist."""
    published = _published(run)
    known = f"known: {', '.join([*_pointers(run), *(path.name for path in published)])}" if published else "there are none yet"
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
    """Verify a checkpoint as `open_checkpoint` does; one that another run has written is refused."""
    checkpoint = open_checkpoint(path)
    if checkpoint.run != run.identity:
        remedy = "put this run's own checkpoint back, or remove the folder"
        raise EmomtlError(trouble(path, "this checkpoint was written by another run", remedy))
    return checkpoint


def open_which(run: Run, which: str) -> Checkpoint:
    """Find and verify a checkpoint; where its run prunes it meanwhile, the one that the name means by then.

    EmomtlError as of `find_checkpoint` and `open_own`; of a step that was pruned it names those that are there now.
    """
    for _ in range(TRIES):
        path = find_checkpoint(run, which).resolve()
        try:
            return open_own(run, path)
        except EmomtlError:
            if path.is_dir():
                raise
    remedy = "the run trains and prunes faster than this reads: try again, or wait until it has finished"
    raise EmomtlError(trouble(run.checkpoints, f"checkpoint {clean(which)!r} was pruned while it was read", remedy))


def point(run: Run, which: str, path: Path) -> None:
    """Let `last` or `best` mean the checkpoint at `path`, durably and at once."""
    run.must_hold()
    if which not in POINTERS or not _is_checkpoint(run.checkpoints / path.name):
        raise ValueError(f"{which!r} cannot point at {path}: {' and '.join(POINTERS)} point at checkpoints of the run")
    replace_link(run.checkpoints / which, run.checkpoints / path.name)


def resume_point(run: Run) -> Checkpoint | None:
    """The checkpoint to go on from, verified: the one that `last` means, else the newest; None where there is none.

    Removes what a crash left behind. A published checkpoint that is damaged is never passed over in silence: EmomtlError
    names it and the last good one.
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
        raise _with_last_good(run, error, [path for path in reversed(published) if path != chosen]) from error


def align(run: Run, checkpoint: Checkpoint, best_step: int | None) -> None:
    """Let links and folders be as they were when training had saved a checkpoint and gone on.

    A kill between the checkpoint, its links and pruning leaves `best` at a step that was not yet
    reached when `last` was written, or an old checkpoint that nobody will prune any more.
    """
    point(run, "last", checkpoint.path)
    best = run.checkpoints / f"step-{best_step or checkpoint.step:08d}"
    if _is_checkpoint(best):
        point(run, "best", best)
    newer = [path for path in _published(run) if _step(path) > checkpoint.step]
    prune(run, newer)


def prune(run: Run, keep: Collection[Path]) -> None:
    """Remove the checkpoints that are neither in `keep` nor meant by `last` or `best`; no half of one is ever published."""
    run.must_hold()
    kept = {Path(path).resolve().name for path in keep}
    kept.update(target.name for which in POINTERS if (target := _target(run, which)))
    doomed = []
    for path in _published(run):
        if path.name not in kept:
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
    """Remove the optimiser's state from every checkpoint of a finished run; gives the bytes that each was relieved of, by name.

    With `weights`, `raw` or `ema`, of a run that keeps an average of its weights only these are left, as the model.
    EmomtlError where the run has not finished, since it could not go on then, or has no such weights; nothing is changed in
    that case.
    """
    run.must_hold()
    _tidy(run)
    last = open_own(run, find_checkpoint(run, "last"))
    scored = {entry.get("which") for entry in run.scores() if entry.get("by") == "train"}
    if not last.state.get("run", {}).get("finished") or not {"last", "best"} <= scored:
        remedy = "finish it with `emomtl train MANIFEST --resume`: without that state no run can go on"
        raise EmomtlError(trouble(run.folder, "has not finished, and needs its optimiser's state", remedy))
    found = [open_own(run, path) for path in _published(run)]  # all are verified before one is touched
    lacking = [one.path for one in found if weights is not None and not one.has(EMA) and one.state.get("weights") != weights]
    if lacking:
        problem = "it has no choice of weights: either it was trained without `train.ema`, or slimmed to the others"
        raise EmomtlError(*(trouble(path, problem, "leave --weights out") for path in lacking))
    freed: dict[str, int] = {}
    for one in found:
        before = sum(size for _, size in one.files.values())
        if weights is not None and one.has(EMA):
            save_checkpoint(run, one.step, _of_one_kind(one, weights), {**one.state, "weights": weights})
        elif one.has(OPTIMIZER):
            drop_part(run, one, OPTIMIZER)
        else:
            continue
        freed[one.path.name] = before - sum(size for _, size in open_own(run, one.path).files.values())
    return freed


def _of_one_kind(checkpoint: Checkpoint, weights: str) -> dict[str, dict[str, Tensor]]:
    """The parts of a checkpoint that has raw or averaged weights as its model, and no optimiser's state."""
    names = [name.removesuffix(SUFFIX) for name in checkpoint.files if name != STATE]
    others = {name: checkpoint.tensors(name) for name in names if name not in ("model", OPTIMIZER, EMA)}
    return {"model": checkpoint.weights(weights), **others}


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _is_checkpoint(path: Path) -> bool:
    return STEP.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()


def _published(run: Run) -> list[Path]:
    """The folders of complete checkpoints, oldest step first."""
    with storage(run.checkpoints, "read"):
        paths = [path for path in run.checkpoints.iterdir() if _is_checkpoint(path)]
    return sorted(paths, key=_step)


def _pointers(run: Run) -> list[str]:
    return [which for which in POINTERS if _target(run, which)]


def _target(run: Run, which: str) -> Path | None:
    """What a pointer means; None where it is missing or points at nothing, EmomtlError where it is no link to a checkpoint."""
    link = run.checkpoints / which
    if not link.is_symlink() and not link.exists():
        return None
    name = ""
    for _ in range(TRIES):
        with storage(link, "read"):
            name = os.readlink(link) if link.is_symlink() else ""
        if not STEP.fullmatch(name) or _is_checkpoint(run.checkpoints / name):
            break  # else the run may just have moved the link on, and pruned
    if not STEP.fullmatch(name):
        remedy = "remove it; a run goes on from its newest checkpoint where `last` is missing"
        raise EmomtlError(trouble(link, "not a link to a checkpoint beside it", remedy))
    return run.checkpoints / name if _is_checkpoint(run.checkpoints / name) else None


def _tidy(run: Run) -> None:
    """Remove unfinished and doomed checkpoints and half-written files; put one back whose replacement was not finished."""
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
    """The same problems, and those of every newer checkpoint than the last good one, with the way to go on from that one."""
    problems = list(error.problems)
    for path in others:
        try:
            open_own(run, path)
        except EmomtlError as another:
            problems += another.problems
        else:
            way = f"the last good checkpoint is {path.name}: to go on from it, remove the damaged folders named here and resume"
            return EmomtlError(*(replace(problem, remedy=way) for problem in problems))
    way = "no other checkpoint is good: restore one from a copy, or start again in another folder with --out"
    return EmomtlError(*(replace(problem, remedy=way) for problem in problems))
