"""Predictions of a checkpoint on a split, kept for comparisons: targets and probabilities by row.

They hold no text. The folder and the key of scores.json are called `answers`, as in older runs.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, clean
from emomtl.safety.files import damaged, read_bytes, storage, trouble, write_bytes
from emomtl.safety.untrusted import tensor_header

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from emomtl.run.directory import Run

    Pair = tuple[NDArray[Any], NDArray[Any]]
    """Targets (n, ...) and probabilities (n, L)."""

FOLDER = "answers"


def scored_own_rows(environment: Mapping[str, Any], entry: Mapping[str, Any], task: str) -> bool:
    """Whether an entry of scores.json is of the rows that the run itself has of a task.

    The fingerprint of its rows is then the one that the run noted of its corpus. What training
    writes has no fingerprint: it scored what it had. An evaluation with `--allow-changed data` may
    be of any rows, and never stands for the run's own.
    """
    noted, scored = environment.get("data"), entry.get("data")
    if not isinstance(noted, Mapping) or not isinstance(scored, Mapping):
        return True
    return noted.get(task) is None or scored.get(task) in (None, noted[task])


def predictions_path(run: Run, split: str, checkpoint: str, digest: str) -> Path:
    """The file with a checkpoint's predictions on a split; each evaluation has its own."""
    return run.folder / FOLDER / f"{split}-{checkpoint}-{digest[:8]}.safetensors"


def save_predictions(run: Run, split: str, checkpoint: str, predictions: Mapping[str, Pair]) -> str:
    """Write targets and probabilities by task; returns the file's SHA-256 for scores.json."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    for task, (targets, probabilities) in predictions.items():
        tensors[f"targets:{task}"] = targets
        # In full precision, as they were scored: 0.4999999975 would be 0.5 as float32, and decided.
        tensors[f"probabilities:{task}"] = probabilities.astype("float64")
    content = save(tensors)
    digest = hashlib.sha256(content).hexdigest()
    path = predictions_path(run, split, checkpoint, digest)
    with storage(path):
        path.parent.mkdir(exist_ok=True)
    write_bytes(path, content)
    return digest


def load_predictions(run: Run, split: str, checkpoint: str, digest: str) -> dict[str, Pair]:
    """Targets and probabilities by task; EmomtlError where the file is missing or damaged."""
    from safetensors.numpy import load

    path = predictions_path(run, split, checkpoint, digest)
    if not path.is_file():
        remedy = "`emomtl eval RUN` writes them"
        raise EmomtlError(trouble(path, "the predictions are missing", remedy))
    content = read_bytes(path, sys.maxsize)
    if hashlib.sha256(content).hexdigest() != digest:
        raise damaged(path, "its content is not what was written")
    try:
        tensor_header(content, len(content))
        tensors = load(content)
    except Exception as error:  # the library has no one error for what it cannot read
        found = f"no predictions can be read from it: {clean(str(error), 200)}"
        raise damaged(path, found) from error
    predictions = {}
    for name, targets in tensors.items():
        if not name.startswith("targets:"):
            continue
        task = name.removeprefix("targets:")
        probabilities = tensors.get(f"probabilities:{task}")
        is_right = probabilities is not None and probabilities.ndim == 2
        if not is_right or len(probabilities) != len(targets):
            found = f"the probabilities of '{clean(task)}' are missing, or are those of other rows"
            raise damaged(path, found)
        predictions[task] = (targets, probabilities)
    return predictions


def recorded_predictions(run: Run, split: str, checkpoint: str, task: str) -> Pair | None:
    """The newest recorded predictions on the run's own rows; None where there are none."""
    return next(all_recorded_predictions(run, split, checkpoint, task), None)


def all_recorded_predictions(
    run: Run, split: str, checkpoint: str, task: str, *, own: bool = True
) -> Iterator[Pair]:
    """The predictions that evaluations recorded, the newest first and equal ones once.

    Some may be of fewer rows (`eval_limit`). With `own` they are of the run's own rows, else of
    other ones (`--allow-changed data`).
    """
    digests: dict[str, None] = {}
    for entry in reversed(run.scores()):
        is_kept = "answers" in entry and task in entry["tasks"]
        if not is_kept or (entry["split"], entry["checkpoint"]) != (split, checkpoint):
            continue
        if scored_own_rows(run.environment, entry, task) is own:
            digests[entry["answers"]] = None
    for digest in digests:
        predictions = load_predictions(run, split, checkpoint, digest)
        if task not in predictions:
            path = predictions_path(run, split, checkpoint, digest)
            raise damaged(path, f"it lacks the predictions of '{clean(task)}'")
        yield predictions[task]
