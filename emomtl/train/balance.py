"""Training rows drawn by the balance of their labels: how often each comes, and what shares labels then have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.contracts.heads import Head
    from emomtl.data.corpus import Corpus, TaskData


def repeat_factors(
    held: NDArray[np.bool_], labelled: NDArray[np.bool_], power: float, below: float | None = None
) -> NDArray[np.float64]:
    """How often each row comes in relation to the others, (n,), from the labels that it has, (n, L).

    Repeat-factor sampling (Gupta et al. 2019, LVIS, arXiv:1908.03195, appendix B.2; there `power` is 1/2):

        r_i = max over labels c of row i of max(1, (t / f_c)^power)

    with f_c the share of the labelled rows that have label c, and t = `below`. Where t is left out it is the largest f_c. Then
    rows of one label each give labels shares p_c proportional to f_c^(1 - power), which is equation 1 of Kang et al. (2020,
    arXiv:1910.09217) with q = 1 - power: 1 makes all labels equal, 1/2 is square-root sampling. A row without a label, and one
    of which no label is known, has r = 1.
    """
    shares = held[labelled].mean(axis=0) if labelled.any() else np.zeros(held.shape[1])
    t = shares.max(initial=0.0) if below is None else below
    by_label = np.ones(held.shape[1])
    some = shares > 0
    by_label[some] = np.maximum(1.0, (t / shares[some]) ** power)
    found: NDArray[np.float64] = np.where(held, by_label, 1.0).max(axis=1, initial=1.0)
    return found


def labels_held(head: Head, targets: NDArray[Any], number: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which labels each row has, (n, L), and whether it is labelled, (n,); of soft targets what a metric would take."""
    labelled, decided = head.present(targets), head.decided(targets)
    if decided.ndim == 1:
        decided = decided[:, None] == np.arange(number)
    held = np.nan_to_num(decided.astype(np.float64)) >= 0.5  # NaN: not known to have it
    return held & labelled[:, None], labelled


def task_repeats(plan: Plan, data: TaskData) -> dict[str, NDArray[np.float64]]:
    """The repeat factors of the training rows of each task whose labels are balanced."""
    found = {}
    for task, taxonomy in data.taxonomies.items():
        bound = plan.tasks[task]
        if bound.table.balance is not None:
            targets = data.rows(task, "train").targets
            held, labelled = labels_held(bound.head, targets, len(bound.head.outputs(taxonomy)))
            found[task] = repeat_factors(held, labelled, bound.table.balance, bound.table.balance_below)
    return found


def corpus_repeats(corpus: Corpus, repeats: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """The repeat factors of all training texts of a corpus, which joint steps draw for all of its tasks; None without any."""
    balanced = [task for task in corpus.tasks if task in repeats]
    if not balanced:
        return None
    (task,) = balanced  # `check_balance` refuses several
    whole = np.ones(len(corpus.splits["train"]))
    whole[corpus.rows[task, "train"].index] = repeats[task]
    return whole


def label_shares(plan: Plan, data: TaskData) -> dict[str, dict[str, tuple[float, float]]]:
    """By task and label: its share of the labelled training rows, and that of those which are drawn."""
    found = {}
    for task, repeats in task_repeats(plan, data).items():
        head = plan.tasks[task].head
        names = head.outputs(data.taxonomies[task])
        held, labelled = labels_held(head, data.rows(task, "train").targets, len(names))
        own = held[labelled].mean(axis=0)
        drawn = repeats[labelled] @ held[labelled] / repeats[labelled].sum()
        found[task] = {name: (float(a), float(b)) for name, a, b in zip(names, own, drawn, strict=True)}
    return found


def check_balance(plan: Plan, data: TaskData) -> list[str]:
    """Lines on tasks that are drawn with another's balance; EmomtlError where two in one step want the same rows differently."""
    lines: list[str] = []
    problems = []
    joint = plan.manifest.sampler.per_step == "all"
    for corpus in data.corpora if joint else ():
        balanced = [task for task in corpus.tasks if plan.tasks[task].table.balance is not None]
        others = [task for task in corpus.tasks if task not in balanced]
        if len(balanced) > 1:
            found = f"{' and '.join(balanced)} read the same texts in every step, and each wants them drawn by its own labels"
            problems.append(Problem(f"tasks.{balanced[1]}.balance", found, 'balance one of them, or `sampler.per_step = "one"`'))
        elif balanced and others:
            lines.append(f"{', '.join(others)}: rows are drawn by the balance of {balanced[0]}'s labels, as they share a step")
    if problems:
        raise EmomtlError(*problems)
    return lines
