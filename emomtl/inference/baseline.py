"""Baselines without an encoder: logistic regression on lexicon features or on TF-IDF."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emomtl.contracts.feature import FOLDS
from emomtl.data.bound_task import ReadOptions
from emomtl.data.corpus import TaskData
from emomtl.data.tasks import read_tasks
from emomtl.errors import EmomtlError, Problem, suggest
from emomtl.inference.feature_vectors import out_of_fold, training_rows, whole_texts
from emomtl.lexicon import Lexicon, not_cut, tokens
from emomtl.metrics.scoring import TaskScores, score
from emomtl.run import Run, is_run
from emomtl.version import __version__

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
"""Training rows that a word needs in order to count, for every kind."""

ITERATIONS = 2000
CERTAIN = 20.0
"""The logit of a label that every training row has; of one that none has, it is negative."""


def read_task(plan: Plan, task: str, splits: Sequence[str]) -> TaskData:
    """The rows of one task of a plan, with the manifest's limits."""
    if task not in plan.tasks:
        finding = f"'{task}' is no task of this manifest"
        raise EmomtlError(Problem("--task", finding, suggest(task, plan.tasks)))
    options = ReadOptions(tuple(splits), plan.manifest.data.on_bad_row, label_noise=False)
    data = read_tasks([plan.tasks[task]], options)
    if line := not_cut(next(iter(data.corpus(task).splits.values())).texts):
        data.notes.append(f"{task}: {line}")
    return data


def score_baseline(plan: Plan, data: TaskData, task: str, kind: str, split: str) -> TaskScores:
    """Fit a baseline on the task's training rows and score it on a split, as runs are scored.

    Each label has a binary logistic regression (L2, C = 1, scikit-learn's lbfgs), whose log-odds
    are the logits. Lexicon features are standardised first, and those of the training rows come
    from lexica without them, as in a run. EmomtlError for a task with numbers.
    """
    head, taxonomy = plan.tasks[task].head, data.taxonomies[task]
    if taxonomy is None:
        remedy = "a baseline needs a task with labels"
        raise EmomtlError(Problem(f"tasks.{task}", "it answers with numbers", remedy))
    training, scored = training_rows(data, task), data.rows(task, split)
    texts = whole_texts(data.corpus(task).splits[split], scored.index)
    inputs = _tfidf(training, texts) if kind == "tfidf" else _lexicon(training, texts, kind)
    logits = _logits(*inputs, training, data.rows(task, "train").targets, head)
    return score(head, taxonomy, scored.targets, logits)


def record(
    plan: Plan, data: TaskData, task: str, kind: str, split: str, scores: TaskScores, folder: Path
) -> tuple[Run, int]:
    """Write the scores into a run's folder, made at the first time.

    Gives the run, and how often it has been scored on the split. EmomtlError where the folder holds
    another run, or the same baseline on other rows.
    """
    import sklearn

    select = f"{task}/{plan.tasks[task].head.main_metric}"
    changes = {
        "name": f"{task}-{kind}",
        "tasks": {task: plan.manifest.tasks[task]},
        "features": {},
        "eval": plan.manifest.eval.model_copy(update={"select": select}),
    }
    manifest = plan.manifest.model_copy(update=changes)
    environment: dict[str, Any] = {
        "baseline": KINDS[kind],
        "emomtl": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "plugins": {plugin.label: plugin.record() for plugin in plan.plugins.active},
        "data": data.fingerprints,
        "sizes": data.sizes,
    }
    if is_run(folder):
        run = Run.open(folder)
        rows = ("baseline", "data", "sizes")
        is_same = all(run.environment.get(key) == environment[key] for key in rows)
        if not is_same or run.manifest.tasks != manifest.tasks:
            finding = f"{folder} holds another run, or this baseline on other rows"
            raise EmomtlError(Problem("--out", finding, "name another folder"))
    else:
        run = Run.create(folder, manifest, environment)
        run.close()
    entry = {
        "split": split,
        "which": "best",
        "checkpoint": "baseline",
        "step": 0,
        "by": "baseline",
        "data": data.fingerprints,
        "tasks": {task: scores.as_json()},
    }
    return run, run.add_scores(entry)


def _lexicon(training: TrainingRows, texts: Sequence[str], kind: str) -> tuple[Any, Any]:
    """Standardised lexicon features of the training rows (m, F) and of texts (n, F)."""
    from sklearn.preprocessing import StandardScaler

    method: Literal["mixture", "pmi"] = "pmi" if kind == "pmi" else "mixture"

    def vectors_of(rows: TrainingRows, of: Sequence[str]) -> NDArray[Any]:
        return Lexicon.learn(rows, method, min_rows=MIN_ROWS).features(of)

    own = out_of_fold(training, FOLDS, vectors_of)
    scaler = StandardScaler().fit(own)
    return scaler.transform(own), scaler.transform(vectors_of(training, texts))


def _tfidf(training: TrainingRows, texts: Sequence[str]) -> tuple[Any, Any]:
    """TF-IDF of the words that a lexicon counts, with 1 + ln of counts: (m, V) and (n, V)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    # (1 + ln tf) idf by word, each row then of length 1
    vectorizer = TfidfVectorizer(analyzer=tokens, min_df=MIN_ROWS, sublinear_tf=True)
    return vectorizer.fit_transform(training.texts), vectorizer.transform(texts)


def _logits(
    inputs: Any, scored_inputs: Any, rows: TrainingRows, targets: NDArray[Any], head: Head
) -> NDArray[Any]:
    """The log-odds (n, L) of each label; rows without a known target are not fitted on."""
    from sklearn.linear_model import LogisticRegression

    known = head.present(targets)
    logits = np.empty((scored_inputs.shape[0], len(rows.labels)))
    for place in range(len(rows.labels)):
        usable = known & ~np.isnan(targets[:, place]) if targets.ndim == 2 else known
        has = rows.has[usable, place]
        if has.all() or not has.any():  # a regression needs rows of both classes
            logits[:, place] = CERTAIN if has.all() else -CERTAIN
        else:
            model = LogisticRegression(max_iter=ITERATIONS).fit(inputs[usable], has)
            logits[:, place] = model.decision_function(scored_inputs)
    return logits
