"""What is needed to read one task of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emomtl.contracts.heads import Head
    from emomtl.contracts.task import Task
    from emomtl.data.locate import Located


@dataclass(frozen=True)
class TaskInput:
    """What is needed to read one task: its name in the run, the task, the head that answers, where its rows are.

    `learned` is whether the labels of an opened run were learned from its rows. In the splits `unseen_in` a label that is none
    of the task's counts as wrong, and is no bad row. `recipe` tells all
    that the task, its options and the code of its plugin decide about its rows; without one they are not
    kept between runs. `max_tokens` is the length at which its texts are read, where it is one of its own. `noise_from` is the
    task whose label noise this one's labels follow.
    """

    name: str
    task: Task
    head: Head
    located: Located
    limit: int | None = None
    eval_limit: int | None = None
    label_noise: float = 0.0
    seed: int = 0
    learned: bool = False
    unseen_in: tuple[str, ...] = ()
    recipe: str | None = None
    max_tokens: int | None = None
    noise_from: str | None = None
