"""Baselines without an encoder: logistic regression on a lexicon's figures or on TF-IDF, recorded for reports."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emomtl.contracts.feature import FOLDS
from emomtl.data.corpus import TaskData
from emomtl.data.task_input import TaskInput
from emomtl.data.tasks import read_tasks
from emomtl.errors import EmomtlError, Problem, suggest
from emomtl.inference.feature_vectors import out_of_fold, training_rows, whole_texts
from emomtl.lexicon import Lexicon, not_cut, tokens
from emomtl.metrics.scoring import TaskScores, score
from emomtl.run import Run, is_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.compose import Plan
    from emomtl.contracts.feature import TrainingRows
    from emomtl.contracts.heads import Head

KINDS = {
    "lexicon": "logistic regression on the five figures of a mixture lexicon",
    "pmi": "logistic regression on the five figures of a PMI lexicon",
    "tfidf": "logistic regression on TF-IDF of words",
}
"""What a text is turned into, and how the run's record says it."""

MIN_ROWS = 5
"""Training rows that have a word which counts, whatever the kind."""

ITERATIONS = 2000
CERTAIN = 20.0
"""The logit of a label that every training row has, or none."""


def read_task(plan: Plan, task: str, splits: Sequence[str]) -> TaskData:
    """The rows of one task of a plan, with the limits that the manifest sets for training."""
    if task not in plan.tasks:
        raise EmomtlError(Problem("--task", f"'{task}' is no task of this manifest", suggest(task, plan.tasks)))
    bound = plan.tasks[task]
    assert bound.located is not None
    one = TaskInput(task, bound.task, bound.head, bound.located, bound.table.limit, bound.table.eval_limit)
    data = read_tasks([one], splits, plan.manifest.data.on_bad_row)
    if line := not_cut(next(iter(data.corpus(task).splits.values())).texts):
        data.notes.append(f"{task}: {line}")
    return data


def score_baseline(plan: Plan, data: TaskData, task: str, kind: str, split: str) -> TaskScores:
    """Fit on the task's training rows and score a split, by the scoring that runs have.

    There is one binary logistic regression a label (L2, C = 1, scikit-learn's lbfgs); its log-odds are the logits. The figures
    of a lexicon are standardised first, and those of the training rows come from lexica without them, as in a run. EmomtlError
    for a task that answers with numbers.
    """
    from sklearn.preprocessing import StandardScaler

    head, taxonomy = plan.tasks[task].head, data.taxonomies[task]
    if taxonomy is None:
        raise EmomtlError(Problem(f"tasks.{task}", "it answers with numbers", "a baseline needs a task with labels"))
    rows = training_rows(data, task)
    every, found = whole_texts(data.corpus(task).splits[split]), data.rows(task, split)
    texts = [every[i] for i in found.index]
    if kind == "tfidf":
        given, asked = _tfidf(rows.texts, texts)
    else:
        method: Literal["mixture", "pmi"] = "pmi" if kind == "pmi" else "mixture"

        def figures(learned_from: TrainingRows, of: Sequence[str]) -> NDArray[Any]:
            return Lexicon.learn(learned_from, method, min_rows=MIN_ROWS).features(of)

        own = out_of_fold(rows, FOLDS, figures)
        scaler = StandardScaler().fit(own)
        given, asked = scaler.transform(own), scaler.transform(figures(rows, texts))
    logits = _logits(given, rows, data.rows(task, "train").targets, asked, head)
    return score(head, taxonomy, found.targets, logits)


def record(plan: Plan, data: TaskData, task: str, kind: str, split: str, scores: TaskScores, folder: Path) -> tuple[Run, int]:
    """Write the scores into a run's folder of their own, `folder`, made at the first time; says which look at the split it is.

    A folder that holds another run, or the same baseline on other rows, is refused.
    """
    import numpy
    import sklearn

    from emomtl.version import __version__

    bound = plan.tasks[task]
    select = plan.manifest.eval.model_copy(update={"select": f"{task}/{bound.head.main_metric}"})
    only = {"name": f"{task}-{kind}", "tasks": {task: plan.manifest.tasks[task]}, "features": {}, "eval": select}
    manifest = plan.manifest.model_copy(update=only)
    environment: dict[str, Any] = {
        "baseline": KINDS[kind],
        "emomtl": __version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scikit-learn": sklearn.__version__,
        "plugins": {plugin.label: plugin.record() for plugin in plan.plugins.active},
        "data": data.fingerprints,
        "sizes": data.sizes,
    }
    if is_run(folder):
        run = Run.open(folder)
        same = all(run.environment.get(key) == environment[key] for key in ("baseline", "data", "sizes"))
        if not same or run.manifest.tasks != manifest.tasks:
            found = f"{folder} holds another run, or this baseline on other rows"
            raise EmomtlError(Problem("--out", found, "name another folder"))
    else:
        run = Run.create(folder, manifest, environment)
        run.close()
    entry = {"split": split, "which": "best", "checkpoint": "baseline", "step": 0, "by": "baseline", "data": data.fingerprints}
    return run, run.add_scores({**entry, "tasks": {task: scores.as_json()}})


def _tfidf(given: Sequence[str], asked: Sequence[str]) -> tuple[Any, Any]:
    """TF-IDF of the same words that a lexicon counts, with 1 + ln of counts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=tokens, min_df=MIN_ROWS, sublinear_tf=True)
    return vectorizer.fit_transform(given), vectorizer.transform(asked)


def _logits(given: Any, rows: TrainingRows, targets: NDArray[Any], asked: Any, head: Head) -> NDArray[Any]:
    """The log-odds of each label for the rows asked about, (n, L); rows without a known target teach nothing."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    known = head.present(targets)
    logits = np.empty((asked.shape[0], len(rows.labels)))
    for place in range(len(rows.labels)):
        usable = known & ~np.isnan(targets[:, place]) if targets.ndim == 2 else known
        has = rows.has[usable, place]
        if has.all() or not has.any():
            logits[:, place] = CERTAIN if has.all() else -CERTAIN
        else:
            logits[:, place] = LogisticRegression(max_iter=ITERATIONS).fit(given[usable], has).decision_function(asked)
    return logits
