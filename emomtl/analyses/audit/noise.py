"""Suspected label noise: rows whose label a cross-validated linear model confidently contradicts.

The rule is that of confident learning (Northcutt, Jiang and Chuang, 2021, "Confident Learning:
Estimating Uncertainty in Dataset Labels", JAIR 70): a label's threshold is its mean probability
over the rows that carry it, and a row is suspected where the most probable label reaches its own
threshold and is not the given one. cleanlab's `find_label_issues` with
`filter_by="confident_learning"` finds the same rows, and also those whose most probable label does
not reach its threshold while another does (a test compares the two); written out here, a finding
does not hang on what is installed. Probabilities come from logistic regression on TF-IDF of words
and pairs of words, five folds; copies of a text stay in one fold.

A task with several labels a row is asked label by label: a missing one by that rule, and a given
one is suspected where the text makes it less than a QUARTER as likely as it is in any row. (Most
labels are rare, so the rule alone would suspect every given label that the words do not show.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

from emomtl.analyses.audit.duplicates import EXAMPLES
from emomtl.analyses.audit.findings import Example, Finding, Report
from emomtl.lexicon.scripts import SIGN, WORD_CHARACTER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.analyses.audit.rows import Answers, Group

AGREED = 0.5
"""Agreement of the model with the given labels below which what it suspects is a note, and no
warning.
"""
FOLDS = 5
FEATURES = 50_000
"""Words and pairs of words that the model sees, the commonest."""

LEAST = 20
"""Rows with, and rows without a label that are needed to ask about it."""

QUARTER = 0.25

ASCII_PIECE = re.compile(r"\w+|[^\w\s]+")
PIECE = regex.compile(rf"{SIGN}|{WORD_CHARACTER}+|[^\w\p{{N}}\s]+", regex.VERSION1)
"""What TF-IDF counts, in texts of ASCII alone and in others."""

CONFUSIONS = 10
"""Pairs of a given and a more probable label that the table shows."""


@dataclass(frozen=True)
class Suspects:
    """Suspected rows, the surest first: positions (m,), what was given and what is more probable in
    each, and agreement.

    `agreement` is the model's own worth against the given labels: its top1_accuracy, or its
    micro_f1 over several labels.
    """

    rows: NDArray[np.int64]
    given: Sequence[str]
    likely: Sequence[str]
    agreement: float


def noise(groups: Sequence[Group], sample: int, report: Report) -> None:
    """Add suspected label noise of each task's training rows; above `sample` rows, of those whose
    text hashes lowest.
    """
    table: list[list[Any]] = []
    pairs: list[list[Any]] = []
    for group in groups:
        if "train" not in group.rows or all(answers.form == "numbers" for answers in group.answers):
            continue
        part = group.rows["train"]
        chosen = np.sort(np.argsort(part.keys, kind="stable")[:sample])
        features = _features([part.whole(row) for row in chosen.tolist()])
        for answers in group.answers:
            if answers.form == "numbers" or features is None:
                continue
            found = _suspects(answers, chosen, features, part.keys[chosen] % FOLDS)
            if found is None:
                continue
            table.append(
                [
                    answers.task,
                    len(chosen),
                    len(part),
                    found.agreement,
                    len(found.rows),
                    len(found.rows) / len(chosen),
                ]
            )
            pairs += _confusions(answers.task, found)
            if len(found.rows):
                report.findings.append(_finding(group, answers, chosen, found))
    columns = ["task", "training rows asked", "of", "agreement", "suspected", "share"]
    about = (
        "Rows whose label a linear model that never saw them confidently contradicts (confident"
        " learning, five folds). Agreement is that of its answers with the given labels"
        " (top1_accuracy; micro_f1 where a row has several): where it is low, so is the worth of a"
        " suspicion."
    )
    report.table("Suspected label noise", columns, table, about)
    report.table("Suspected labels", ["task", "given", "more probable", "rows"], pairs)


def _pieces(text: str) -> list[str]:
    """Words, and runs of other signs; of scripts that are not cut into words, single signs."""
    return (ASCII_PIECE if text.isascii() else PIECE).findall(text)


def _features(texts: Sequence[str]) -> Any | None:
    """TF-IDF of words, marks and pairs of them (n, at most FEATURES); None where no word stands in
    two texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(
        ngram_range=(1, 2),
        min_df=2,
        max_features=FEATURES,
        sublinear_tf=True,
        token_pattern=None,
        tokenizer=_pieces,
    )
    try:
        return vectors.fit_transform(texts)
    except ValueError:
        return None


def _suspects(
    answers: Answers, chosen: NDArray[np.int64], features: Any, folds: NDArray[np.uint64]
) -> Suspects | None:
    """The suspected rows of a task, as positions in its training rows; None where no label has rows
    enough.
    """
    known = answers.present["train"][chosen]
    if answers.form == "one":
        given = answers.targets["train"][chosen]
        often = np.bincount(given[known], minlength=len(answers.names)) >= LEAST
        known &= often[np.clip(given, 0, None)]
        if often.sum() < 2:
            return None
        names = [name for name, enough in zip(answers.names, often, strict=True) if enough]
        given = np.cumsum(often)[given[known]] - 1
        p = out_of_fold(features[known], given, folds[known], len(names))
        suspected, likely = contradicted(given, p)
        rows = np.flatnonzero(suspected)
        rows = rows[np.argsort(p[rows, given[rows]], kind="stable")]
        words = [[names[place] for place in found[rows].tolist()] for found in (given, likely)]
        return Suspects(
            chosen[known][rows], words[0], words[1], float((p.argmax(axis=1) == given).mean())
        )
    return _suspects_by_label(answers, chosen, features, folds)


def _suspects_by_label(
    answers: Answers, chosen: NDArray[np.int64], features: Any, folds: NDArray[np.uint64]
) -> Suspects | None:
    """Suspected rows of a task with several labels: each label by itself, a row named once for its
    surest contradiction.
    """
    targets = answers.targets["train"][chosen]
    surest = np.full(len(chosen), 1.0)
    where = np.full(len(chosen), -1)
    both = either = 0
    for place in range(len(answers.names)):
        known = ~np.isnan(targets[:, place])
        given = (targets[known, place] >= 0.5).astype(np.int64)
        if min(given.sum(), len(given) - given.sum()) < LEAST:
            continue
        p = out_of_fold(features[known], given, folds[known], 2)
        suspected = np.where(
            given == 0, contradicted(given, p)[0], p[:, 1] < QUARTER * given.mean()
        )
        own = np.ones(len(chosen))
        own[np.flatnonzero(known)[suspected]] = p[suspected, given[suspected]]
        where = np.where(own < surest, place, where)
        surest = np.minimum(surest, own)
        answered = p.argmax(axis=1)
        both, either = both + int((answered & given).sum()), either + int((answered + given).sum())
    if not either:
        return None
    rows = np.flatnonzero(where >= 0)
    rows = rows[np.argsort(surest[rows], kind="stable")]
    holds = targets[rows, where[rows]] >= 0.5
    words = [answers.names[place] for place in where[rows].tolist()]
    given_words = [word if has else f"not {word}" for word, has in zip(words, holds, strict=True)]
    likely = [f"not {word}" if has else word for word, has in zip(words, holds, strict=True)]
    return Suspects(chosen[rows], given_words, likely, 2 * both / either)


def out_of_fold(
    features: Any, given: NDArray[np.int64], folds: NDArray[Any], labels: int
) -> NDArray[np.float64]:
    """Probabilities of each label for each row (n, labels), from a model that saw no row of its
    fold.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    p = np.zeros((len(given), labels))
    for fold in range(FOLDS):
        inside, outside = folds == fold, folds != fold
        seen = np.unique(given[outside])
        if not inside.any() or not len(seen):
            continue
        if len(seen) == 1:
            p[np.flatnonzero(inside), seen[0]] = 1.0
            continue
        model = LogisticRegression(C=4.0, solver="liblinear", random_state=0)
        whole = model if len(seen) == 2 else OneVsRestClassifier(model)
        p[np.ix_(inside, seen)] = whole.fit(features[outside], given[outside]).predict_proba(
            features[inside]
        )
    return p


def contradicted(
    given: NDArray[np.int64], p: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which rows' labels are confidently contradicted (n,), and the label that is more probable in
    each (n,).
    """
    thresholds = np.array(
        [
            p[given == label, label].mean() if (given == label).any() else np.inf
            for label in range(p.shape[1])
        ]
    )
    likely = p.argmax(axis=1)
    return (likely != given) & (p[np.arange(len(p)), likely] >= thresholds[likely]), likely


def _confusions(task: str, found: Suspects) -> list[list[Any]]:
    """The commonest pairs of a given and a more probable label."""
    from collections import Counter

    counted = Counter(zip(found.given, found.likely, strict=True))
    return [[task, given, likely, n] for (given, likely), n in counted.most_common(CONFUSIONS)]


def _finding(group: Group, answers: Answers, chosen: NDArray[np.int64], found: Suspects) -> Finding:
    n, part = len(chosen), len(group.rows["train"])
    sampled = f" (a sample of {part:,})" if n < part else ""
    figure = "top1_accuracy" if answers.form == "one" else "micro_f1"
    agreed = f"the model's cross-validated {figure} is {found.agreement:.3f}"
    said = f"{len(found.rows):,} of {n:,} training rows{sampled} are suspected; {agreed}"
    examples = [
        Example(
            (group.place("train", row),),
            f"given {given}, more probable {likely}",
            group.shown("train", row),
        )
        for row, given, likely in list(
            zip(found.rows.tolist(), found.given, found.likely, strict=True)
        )[:EXAMPLES]
    ]
    weak = found.agreement < AGREED
    said += ", so that most of them may be its own mistakes" if weak else ""
    return Finding("label-noise", answers.task, said, len(found.rows), examples, weak)
