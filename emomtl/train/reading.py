"""The rows and the tokens of a plan, read for training."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from emomtl.compose import Plan, recipes
from emomtl.data.cache.tokens import corpus_tokens
from emomtl.data.corpus import TaskData
from emomtl.data.task_input import TaskInput
from emomtl.data.tasks import LeakPolicy, read_tasks
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
    kept, inputs = recipes(plan), []
    tasks = {*tasks, *(plan.tasks[name].table.label_noise_from or name for name in tasks)}
    for bound in plan.tasks.values():
        if tasks and bound.name not in tasks:
            continue
        assert bound.located is not None
        limits = (bound.table.limit, bound.table.eval_limit) if "train" in splits else (None, None)
        noise = bound.table.label_noise, plan.manifest.seed
        wrong = ("test",) if plan.manifest.data.unseen_labels == "wrong" else ()
        inputs.append(
            TaskInput(
                bound.name,
                bound.task,
                bound.head,
                bound.located,
                *limits,
                *noise,
                learned=bound.table.learned_labels is not None,
                unseen_in=wrong,
                recipe=kept.get(bound.name),
                max_tokens=dict(plan.encoder.task_tokens).get(bound.name),
                noise_from=bound.table.label_noise_from if "train" in splits else None,
            )
        )
    policy = "drop" if plan.manifest.data.drop_leaks and "train" in splits else leaks
    data = read_tasks(
        inputs, splits, plan.manifest.data.on_bad_row, "train" in splits, policy, display.note
    )
    for line in data.notes:
        display.note(line)
    return data


def tokenise_all(
    data: TaskData, tokenizer: Any, choice: EncoderChoice, display: Display
) -> dict[tuple[str, str], Tokens]:
    """Tokens by (corpus, split), from the cache where they are kept."""
    display.phase("tokenising")
    return corpus_tokens(data, tokenizer, choice.max_tokens, display.note, choice.truncation)
