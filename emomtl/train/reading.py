"""The rows and the tokens of a plan, read for training."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from emomtl.compose import Plan, recipes
from emomtl.data.bound_task import LeakPolicy, ReadOptions
from emomtl.data.cache.tokens import corpus_tokens
from emomtl.data.corpus import TaskData
from emomtl.data.tasks import read_tasks
from emomtl.data.tokens import Tokens
from emomtl.model.loaded import EncoderChoice

if TYPE_CHECKING:
    from emomtl.train.display import Display


def read(
    plan: Plan,
    display: Display,
    splits: tuple[str, ...] = ("train", "validation"),
    tasks: Collection[str] = (),
    leaks: LeakPolicy = "keep",
) -> TaskData:
    """The rows of a plan's tasks (all, or those named) in some splits.

    `leaks` says what becomes of training rows whose text is scored; `data.drop_leaks` drops them.
    """
    display.phase("reading")
    # A task that follows another's label noise is read with that one.
    wanted = {*tasks, *(plan.tasks[name].table.label_noise_from or name for name in tasks)}
    table = plan.manifest.data
    training = "train" in splits
    options = ReadOptions(
        splits,
        table.on_bad_row,
        need_train=training,
        leaks="drop" if table.drop_leaks and training else leaks,
        limited=("train", "validation") if training else (),
        seed=plan.manifest.seed,
        unseen_in=("test",) if table.unseen_labels == "wrong" else (),
        recipes=recipes(plan),
        note=display.note,
    )
    chosen = [task for task in plan.tasks.values() if not wanted or task.name in wanted]
    data = read_tasks(chosen, options)
    for line in data.notes:
        display.note(line)
    return data


def tokenise_all(
    data: TaskData, tokenizer: Any, choice: EncoderChoice, display: Display
) -> dict[tuple[str, str], Tokens]:
    """Tokens by (corpus, split), from the cache where they are kept."""
    display.phase("tokenising")
    return corpus_tokens(data, tokenizer, choice.max_tokens, display.note, choice.truncation)
