"""A run's best checkpoint with the rows of a split and what it answers to them: read once, for all sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.data.corpus import TaskData
    from emomtl.data.tokens import Tokens
    from emomtl.inference.trained import TrainedRun
    from emomtl.plugins.discovery import Plugins


@dataclass(frozen=True)
class Read:
    """The rows of a run's tasks in one split, their tokens by (corpus, split), and targets and probabilities by task.

    The answers are to the rows with a known target, in the rows' order. `heads` have what their losses
    take from the training rows.
    """

    trained: TrainedRun
    split: str
    data: TaskData
    tokens: Mapping[tuple[str, str], Tokens]
    answers: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
    heads: Mapping[str, Head]


def read_run(
    folder: Path, plugins: Plugins, split: str, sources: Mapping[str, str], device: str, say: Callable[[str], None]
) -> Read:
    """Open a run's best checkpoint, read the split and answer it; EmomtlError where rows differ from those of training."""
    from emomtl.inference.trained import open_trained

    say(f"{folder}: reading and answering {split}")
    trained = open_trained(folder, "best", plugins, device)
    known = {task: place for task, place in sources.items() if task in trained.plan.tasks}
    data = trained.read_split(split, (), known)
    heads = {task: bound.head for task, bound in trained.plan.tasks.items()}
    for task, head in heads.items():
        if head.needs_rows:
            rows = trained.read_as_trained(task, known).rows(task, "train")
            heads[task] = head.fitted(rows.targets, data.taxonomies[task])
    tokens = trained.corpus_tokens(data)
    answers = trained.evaluator.evaluate(trained.tasks(), data, tokens, split).predictions
    for note in data.notes:
        say(f"note: {note}")
    return Read(trained, split, data, tokens, answers, heads)
