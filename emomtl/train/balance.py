"""Training rows drawn by the balance of their labels, and the shares that labels then have."""

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
    held: NDArray[np.bool_],
    labelled: NDArray[np.bool_],
    power: float,
    below: float | None = None,
) -> NDArray[np.float64]:
    """How often each row comes relative to others (n,), from the labels that it has (n, L).

    Repeat-factor sampling (Gupta et al. 2019, LVIS, arXiv:1908.03195, appendix B.2; there `power`
    is 1/2):

        r_i = max over labels c of row i of max(1, (t / f_c)^power)

    with f_c the share of the labelled rows that have label c, and t = `below`. Where t is left out
    it is the largest f_c. Then rows of one label each give labels shares p_c proportional to
    f_c^(1 - power), which is equation 1 of Kang et al. (2020, arXiv:1910.09217) with q = 1 - power:
    1 makes all labels equal, 1/2 is square-root sampling. A row without a label, and one of which
    no label is known, has r = 1.
    """
    label_count = held.shape[1]
    shares = held[labelled].mean(axis=0) if labelled.any() else np.zeros(label_count)  # f_c
    threshold = shares.max(initial=0.0) if below is None else below  # t
    by_label = np.ones(label_count)
    present = shares > 0
    by_label[present] = np.maximum(1.0, (threshold / shares[present]) ** power)
    factors: NDArray[np.float64] = np.where(held, by_label, 1.0).max(axis=1, initial=1.0)
    return factors


def labels_held(
    head: Head, targets: NDArray[Any], label_count: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which labels each row has (n, L), and whether it is labelled (n,).

    Of soft targets those labels that a metric would take.
    """
    labelled, decided = head.present(targets), head.decided(targets)
    if decided.ndim == 1:
        decided = decided[:, None] == np.arange(label_count)
    # NaN: the label is unknown, and the row counts as not having it.
    held = np.nan_to_num(decided.astype(np.float64)) >= 0.5
    return held & labelled[:, None], labelled


def _labels_of_task(
    plan: Plan, data: TaskData, task: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """`labels_held` of a task's training rows."""
    head = plan.tasks[task].head
    label_count = len(head.outputs(data.taxonomies[task]))
    return labels_held(head, data.rows(task, "train").targets, label_count)


def task_repeats(plan: Plan, data: TaskData) -> dict[str, NDArray[np.float64]]:
    """The repeat factors of the training rows of each task whose labels are balanced."""
    repeats = {}
    for task in data.taxonomies:
        table = plan.tasks[task].table
        if table.balance is not None:
            held, labelled = _labels_of_task(plan, data, task)
            repeats[task] = repeat_factors(held, labelled, table.balance, table.balance_below)
    return repeats


def corpus_repeats(
    corpus: Corpus, repeats: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64] | None:
    """The repeat factors of all training texts of a corpus, for joint steps; None without any."""
    balanced = [task for task in corpus.tasks if task in repeats]
    if not balanced:
        return None
    (task,) = balanced  # `check_balance` refuses several
    factors = np.ones(len(corpus.splits["train"]))
    factors[corpus.rows[task, "train"].index] = repeats[task]
    return factors


def label_shares(plan: Plan, data: TaskData) -> dict[str, dict[str, tuple[float, float]]]:
    """By task and label: its share of the labelled training rows, and of those that are drawn."""
    shares_by_task = {}
    for task, repeats in task_repeats(plan, data).items():
        held, labelled = _labels_of_task(plan, data, task)
        of_rows = held[labelled].mean(axis=0)
        of_draws = repeats[labelled] @ held[labelled] / repeats[labelled].sum()
        names = plan.tasks[task].head.outputs(data.taxonomies[task])
        shares = zip(names, of_rows, of_draws, strict=True)
        shares_by_task[task] = {name: (float(rows), float(drawn)) for name, rows, drawn in shares}
    return shares_by_task


def check_balance(plan: Plan, data: TaskData) -> list[str]:
    """Notes on tasks that are drawn with another's balance.

    EmomtlError where two tasks of one step want the same rows drawn differently.
    """
    notes: list[str] = []
    problems = []
    if plan.manifest.sampler.per_step != "all":
        return notes
    for corpus in data.corpora:
        balanced = [task for task in corpus.tasks if plan.tasks[task].table.balance is not None]
        others = [task for task in corpus.tasks if task not in balanced]
        if len(balanced) > 1:
            finding = (
                f"{' and '.join(balanced)} read the same texts in every step, and each wants them "
                "drawn by its own labels"
            )
            remedy = 'balance one of them, or `sampler.per_step = "one"`'
            problems.append(Problem(f"tasks.{balanced[1]}.balance", finding, remedy))
        elif balanced and others:
            drawn = f"rows are drawn by the balance of {balanced[0]}'s labels"
            notes.append(f"{', '.join(others)}: {drawn}, as they share a step")
    if problems:
        raise EmomtlError(*problems)
    return notes
