"""The lexicon: for each word how much it belongs to each label, and what follows for a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from emomtl.contracts.feature import Learned
from emomtl.contracts.label_text import clean_label
from emomtl.contracts.sources import stable_fraction
from emomtl.errors import EmomtlError, suggest
from emomtl.lexicon.counts import counts_of, vocabulary_of
from emomtl.lexicon.mixture import background, expectation_maximisation, tuned_shares
from emomtl.lexicon.pmi import positive_pmi

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.feature import TrainingRows

Method = Literal["mixture", "pmi"]

FIGURES = ("total_count", "total_intensity", "max_intensity", "graded_count", "graded_intensity")
"""The five figures of a text for each label: TEC, TEI, MEI, GEC and GEI of the source."""

NEUTRAL = "neutral"
"""The label whose rows are the background unless another is named."""

SHARE = 0.9
"""lambda, where nothing else is said: the upper end of what is usual. It was chosen on the validation rows of GoEmotions, where
the lambda that held-out words prefer did worse (docs/results/experiments.md)."""

HELD_OUT = 0.1
"""Part of the training rows, by a hash of their texts, on which lambda is tuned."""

CHUNK = 4096
"""Texts whose largest intensities are found at a time."""


@dataclass(frozen=True, eq=False)
class Lexicon:
    """V words, and Lex(w, e) for L labels.

    `weights` is (V, L + 1) with rows that sum to one: Lex(w, e) for each label, then what belongs to no label, which is zero
    where the background is one of the labels (Bandhakavi et al. 2017). `rows` (V, L) are the training rows with the label that
    have the word. `about` tells how it was learned: method, lambdas, iterations, likelihoods, and whether from
    `sensitive` texts, whose words are not to be shown.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]
    weights: NDArray[Any]
    rows: NDArray[Any]
    about: dict[str, Any]

    @classmethod
    def learn(
        cls,
        rows: TrainingRows,
        method: Method = "mixture",
        background: str | None = None,
        share: float | Literal["tuned"] = SHARE,
        min_rows: int = 5,
    ) -> Lexicon:
        """A lexicon of the words that at least `min_rows` rows have.

        The texts of a label are all rows that have it, among others or alone. The background is the rows that have the label
        `background` alone (left out: "neutral", where there is one), else all rows. `share` is lambda, the part of an
        emotion's text that is its own; "tuned" takes for each label what makes a held-out tenth of the rows likeliest.
        `EmomtlError` for a task without labels, an unknown `background`, or no word that is frequent enough.
        """
        import numpy as np

        if not rows.labels:
            raise EmomtlError("a lexicon needs labels, and this task answers with numbers", remedy="name another task")
        if background is not None and background not in rows.labels:
            raise EmomtlError(f"there is no label '{background}'", place="background", remedy=suggest(background, rows.labels))
        place = rows.labels.index(background or NEUTRAL) if (background or NEUTRAL) in rows.labels else None
        words, counts = vocabulary_of(rows.texts, min_rows)
        has = np.asarray(rows.has, np.float64)
        if method == "mixture":
            weights, about = _mixture(counts, has, place, share, rows)
        else:
            weights, about = _pmi(counts, has, place)
        held = np.asarray((counts > 0).T @ has, np.int32)
        facts = {"method": method, "background": rows.labels[place] if place is not None else "all rows", "min_rows": min_rows}
        facts |= {"sensitive": True} if rows.sensitive else {}
        return cls(words, rows.labels, weights, held, {**facts, "texts": len(rows.texts), "tokens": int(counts.sum()), **about})

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the 5 L columns of `features`: all labels of one figure, then those of the next."""
        return tuple(f"{figure}:{label}" for figure in FIGURES for label in self.labels)

    def features(self, texts: Sequence[str], threshold: float = 0.25) -> NDArray[Any]:
        """(n, 5 L): the figures of FIGURES for each label; a text without a known word has zeros.

        For the tokens w of a text, each as often as it stands there: TEC counts those whose largest weight is the label's
        (of equal ones the first counts, and what belongs to no label competes), TEI sums Lex(w, e), MEI is the largest
        Lex(w, e); GEC counts and GEI sums those with Lex(w, e) >= `threshold`, the source's delta.
        """
        import numpy as np

        counts, own = counts_of(texts, self.words), self.weights[:, :-1]
        first = np.argmax(self.weights, axis=1)[:, None] == np.arange(len(self.labels))
        strong = own >= threshold
        per_word = (first.astype(np.float64), own, strong.astype(np.float64), own * strong)
        total_count, total, graded_count, graded = (np.asarray(counts @ table) for table in per_word)
        return np.concatenate([total_count, total, _largest(counts, own), graded_count, graded], axis=1)

    def top(self, label: str, words: int = 15) -> list[tuple[str, float, int]]:
        """The words that stand for a label, best first: (word, Lex(w, e), training rows with the label that have it).

        They are ranked by Lex(w, e) ln(1 + rows): by the weight alone the rarest words would lead.
        """
        import numpy as np

        if label not in self.labels:
            if (spelled := clean_label(label)) in self.labels:
                return self.top(spelled, words)
            raise EmomtlError(f"there is no label '{label}'", place="--label", remedy=suggest(label, self.labels))
        place = self.labels.index(label)
        weight, rows = self.weights[:, place], self.rows[:, place]
        order = np.argsort(-weight * np.log1p(rows), kind="stable")[:words]
        return [(self.words[i], float(weight[i]), int(rows[i])) for i in order if weight[i] > 0]

    def learned(self) -> Learned:
        """The lexicon as what a feature keeps, and as what a file of it holds."""
        about = {"words": list(self.words), "labels": list(self.labels), "about": self.about}
        return Learned({"weights": self.weights, "rows": self.rows}, about)

    @classmethod
    def of(cls, learned: Learned, place: str = "lexicon") -> Lexicon:
        """The lexicon that `learned` gave; `EmomtlError` where it holds something else."""
        import numpy as np

        try:
            words, labels, about = tuple(learned.about["words"]), tuple(learned.about["labels"]), dict(learned.about["about"])
            weights, rows = learned.arrays["weights"], learned.arrays["rows"]
        except (KeyError, TypeError, ValueError) as error:
            raise EmomtlError("holds no lexicon", place=place, remedy="make one with `emomtl lexicon build`") from error
        if not all(isinstance(name, str) for name in (*words, *labels)):
            raise EmomtlError("holds words that are no text", place=place, remedy="make one with `emomtl lexicon build`")
        if not words or len(set(words)) != len(words) or len(set(labels)) != len(labels):
            raise EmomtlError("holds no word, or a word or label twice", place=place, remedy="make it again")
        fits = weights.shape == (len(words), len(labels) + 1) and rows.shape == (len(words), len(labels))
        if not fits or not np.allclose(weights.sum(axis=1), 1.0):
            raise EmomtlError("holds no lexicon whose rows sum to one", place=place, remedy="make it again")
        return cls(words, labels, weights, rows, about)


def _mixture(
    counts: Any, has: NDArray[Any], place: int | None, share: float | Literal["tuned"], given: TrainingRows
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Weights (V, L + 1) by the mixture model: Lex(w, e) = theta_e(w) / (sum over k of theta_k(w), and N(w))."""
    import numpy as np

    neutral = (has.sum(axis=1) == 1) & (has[:, place] > 0) if place is not None else np.ones(len(has), bool)
    if not neutral.any():
        neutral[:] = True
    emotions = [i for i in range(has.shape[1]) if i != place]
    mine = has[:, emotions]
    noise = background(np.asarray(counts[neutral].sum(axis=0), np.float64).ravel())
    per_label = np.asarray((counts.T @ mine).T, np.float64)
    if share != "tuned":
        shares = np.full(len(emotions), share)
    else:
        held = np.array([stable_fraction(text, seed=2) < HELD_OUT for text in given.texts])
        held_out = np.asarray((counts[held].T @ mine[held]).T, np.float64)
        rest = background(np.asarray(counts[neutral & ~held].sum(axis=0), np.float64).ravel())
        shares = tuned_shares(per_label - held_out, rest, held_out)
    fit = expectation_maximisation(per_label, noise, shares)
    weights = np.zeros((counts.shape[1], has.shape[1] + 1))
    weights[:, emotions] = fit.theta.T
    weights[:, place if place is not None else -1] = noise
    about = {
        "iterations": len(fit.likelihoods) - 1,
        "lambda": {given.labels[i]: value for i, value in zip(emotions, shares.tolist(), strict=True)},
        "log_likelihood": {"first": float(fit.likelihoods[0].sum()), "last": float(fit.likelihoods[-1].sum())},
    }
    return weights / weights.sum(axis=1, keepdims=True), about


def _pmi(counts: Any, has: NDArray[Any], place: int | None) -> tuple[NDArray[Any], dict[str, Any]]:
    """Weights (V, L + 1) by positive pointwise mutual information, each word's divided by their sum.

    A word that no label attracts belongs to the background.
    """
    import numpy as np

    per_label = np.asarray((counts.T @ has).T, np.float64)
    attraction = positive_pmi(per_label, np.asarray(counts.sum(axis=0), np.float64).ravel())
    weights = np.zeros((counts.shape[1], has.shape[1] + 1))
    weights[:, :-1] = attraction.T
    weights[weights.sum(axis=1) <= 0, place if place is not None else -1] = 1.0
    return weights / weights.sum(axis=1, keepdims=True), {}


def _largest(counts: Any, own: NDArray[Any]) -> NDArray[Any]:
    """The largest weight of any word of each text, (n, L); zeros for a text without a known word."""
    import numpy as np

    found = np.zeros((counts.shape[0], own.shape[1]))
    for start in range(0, counts.shape[0], CHUNK):
        part = counts[start : start + CHUNK]
        filled = np.flatnonzero(np.diff(part.indptr))
        if len(filled):
            found[start + filled] = np.maximum.reduceat(own[part.indices], part.indptr[filled], axis=0)
    return found
