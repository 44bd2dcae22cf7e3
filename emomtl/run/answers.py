"""What a checkpoint answered on a split, kept for comparisons: targets and probabilities by row, never a text."""

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

FOLDER = "answers"


def scored_own_rows(environment: Mapping[str, Any], entry: Mapping[str, Any], task: str) -> bool:
    """Whether an entry of scores.json is of the rows that the run itself has of a task.

    It is where the fingerprint of the entry's rows is the one that the run noted of its corpus.
    What training writes has no fingerprint of its own: it scored what it had. An evaluation with
    `--allow-changed data` may be of any rows, and never stands for the run's own.
    """
    noted, scored = environment.get("data"), entry.get("data")
    if not isinstance(noted, Mapping) or not isinstance(scored, Mapping):
        return True
    return noted.get(task) is None or scored.get(task) in (None, noted[task])


def answers_path(run: Run, split: str, checkpoint: str, digest: str) -> Path:
    """Where the answers of a checkpoint on a split are kept; another evaluation of the two has another file."""
    return run.folder / FOLDER / f"{split}-{checkpoint}-{digest[:8]}.safetensors"


def save_answers(run: Run, split: str, checkpoint: str, answers: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> str:
    """Write targets and probabilities by task; gives the file's SHA-256, which belongs into the entry in scores.json."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    for task, (targets, probabilities) in answers.items():
        # In full, as they were scored: as float32 a probability of 0.4999999975 would be 0.5, and count as an answer.
        tensors |= {f"targets:{task}": targets, f"probabilities:{task}": probabilities.astype("float64")}
    content = save(tensors)
    digest = hashlib.sha256(content).hexdigest()
    path = answers_path(run, split, checkpoint, digest)
    with storage(path):
        path.parent.mkdir(exist_ok=True)
    write_bytes(path, content)
    return digest


def load_answers(run: Run, split: str, checkpoint: str, digest: str) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Targets (n, ...) and probabilities (n, L) by task; EmomtlError where the file is missing or another."""
    from safetensors.numpy import load

    path = answers_path(run, split, checkpoint, digest)
    if not path.is_file():
        raise EmomtlError(trouble(path, "the answers are missing", "`emomtl eval RUN` writes them"))
    content = read_bytes(path, sys.maxsize)
    if hashlib.sha256(content).hexdigest() != digest:
        raise damaged(path, "its content is not what was written")
    try:
        tensor_header(content, len(content))
        tensors = load(content)
    except Exception as error:  # the library has no one error for what it cannot read
        raise damaged(path, f"no answers can be read from it: {clean(str(error), 200)}") from error
    tasks = [name.removeprefix("targets:") for name in tensors if name.startswith("targets:")]
    for task in tasks:
        probabilities = tensors.get(f"probabilities:{task}")
        if probabilities is None or probabilities.ndim != 2 or len(probabilities) != len(tensors[f"targets:{task}"]):
            raise damaged(path, f"the probabilities of '{clean(task)}' are missing, or are those of other rows")
    return {task: (tensors[f"targets:{task}"], tensors[f"probabilities:{task}"]) for task in tasks}


def kept_answers(run: Run, split: str, checkpoint: str, task: str) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """What an evaluation of this checkpoint on this split kept of a task, the newest of the run's own rows; else None.

    Targets and probabilities. Evaluations of other rows (`--allow-changed data`) do not count.
    """
    return next(all_kept_answers(run, split, checkpoint, task), None)


def all_kept_answers(
    run: Run, split: str, checkpoint: str, task: str, *, own: bool = True
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """The same of every evaluation, the newest first and equal ones once; some may be of fewer rows (`eval_limit`).

    With `own` false those of other rows than the run's own, and only those.
    """
    wanted = (
        entry
        for entry in reversed(run.scores())
        if (entry["split"], entry["checkpoint"]) == (split, checkpoint)
        and "answers" in entry
        and task in entry["tasks"]
        and scored_own_rows(run.environment, entry, task) is own
    )
    for digest in dict.fromkeys(entry["answers"] for entry in wanted):
        found = load_answers(run, split, checkpoint, digest)
        if task not in found:
            raise damaged(answers_path(run, split, checkpoint, digest), f"it lacks the answers of '{clean(task)}'")
        yield found[task]
