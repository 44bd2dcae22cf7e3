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
    from emomtl.inference.trained import Trained
    from emomtl.plugins.discovery import Plugins


@dataclass(frozen=True)
class Read:
    """The rows of a run's tasks in one split, their tokens by (corpus, split), and targets and probabilities by task.

    The answers are to the rows with a known target, in the rows' order. `heads` have what their losses
    take from the training rows.
    """

    trained: Trained
    split: str
    data: TaskData
    tokens: Mapping[tuple[str, str], Tokens]
    answers: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
    heads: Mapping[str, Head]


def read_run(
    folder: Path, plugins: Plugins, split: str, sources: Mapping[str, str], device: str, say: Callable[[str], None]
) -> Read:
    """Open a run's best checkpoint, read the split and answer it; EmomtlError where rows differ from those of training."""
    from emomtl.data.cache.tokens import corpus_tokens
    from emomtl.inference.evaluate import evaluate
    from emomtl.inference.trained import open_trained, read_as_trained, read_split

    say(f"{folder}: reading and answering {split}")
    trained = open_trained(folder, "best", plugins, device)
    known = {task: place for task, place in sources.items() if task in trained.plan.tasks}
    data = read_split(trained, split, (), known)
    heads = {task: bound.head for task, bound in trained.plan.tasks.items()}
    for task, head in heads.items():
        if head.needs_rows:
            rows = read_as_trained(trained, task, known).rows(task, "train")
            heads[task] = head.fitted(rows.targets, data.taxonomies[task])
    choice = trained.plan.encoder
    tokens = corpus_tokens(data, trained.tokenizer, choice.max_tokens, data.notes.append, choice.truncation)
    tokens = trained.features.beside_all(data, tokens)
    answers: dict[str, tuple[Any, Any]] = {}
    batch = trained.plan.manifest.eval.batch_size
    evaluate(trained.model, trained.tasks(), data, tokens, split, trained.device, trained.precision, batch, keep=answers)
    for note in data.notes:
        say(f"note: {note}")
    return Read(trained, split, data, tokens, answers, heads)
