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
"""lambda, where nothing else is said: the upper end of what is usual. It was chosen on the
validation rows of GoEmotions, where the lambda that held-out words prefer did worse
(docs/results/experiments.md).
"""

BUILD = "make one with `emomtl lexicon build`"

HELD_OUT = 0.1
"""Part of the training rows, by a hash of their texts, on which lambda is tuned."""

CHUNK = 4096
"""Texts whose largest intensities are found at a time."""


@dataclass(frozen=True, eq=False)
class Lexicon:
    """V words, and Lex(w, e) for L labels.

    `weights` is (V, L + 1) with rows that sum to one: Lex(w, e) for each label, then what belongs
    to no label, which is zero where the background is one of the labels (Bandhakavi et al. 2017).
    `rows` (V, L) are the training rows with the label that have the word. `about` tells how it was
    learned: method, lambdas, iterations, likelihoods, and whether from `sensitive` texts, whose
    words are not to be shown.
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

        The texts of a label are all rows that have it, among others or alone. The background is the
        rows that have the label `background` alone (left out: "neutral", where there is one), else
        all rows. `share` is lambda, the part of an emotion's text that is its own; "tuned" takes
        for each label what makes a held-out tenth of the rows likeliest. `EmomtlError` for a task
        without labels, an unknown `background`, or no word that is frequent enough.
        """
        import numpy as np

        if not rows.labels:
            finding = "a lexicon needs labels, and this task answers with numbers"
            raise EmomtlError(finding, remedy="name another task")
        if background is not None and background not in rows.labels:
            finding = f"there is no label '{background}'"
            remedy = suggest(background, rows.labels)
            raise EmomtlError(finding, place="background", remedy=remedy)
        neutral = background or NEUTRAL
        place = rows.labels.index(neutral) if neutral in rows.labels else None
        words, counts = vocabulary_of(rows.texts, min_rows)
        has = np.asarray(rows.has, np.float64)
        about: dict[str, Any] = {
            "method": method,
            "background": "all rows" if place is None else neutral,
            "min_rows": min_rows,
        }
        if rows.sensitive:
            about["sensitive"] = True
        about |= {"texts": len(rows.texts), "tokens": int(counts.sum())}
        if method == "mixture":
            weights, fitted = _mixture(counts, has, place, share, rows)
            about |= fitted
        else:
            weights = _pmi(counts, has, place)
        rows_with_word = np.asarray((counts > 0).T @ has, np.int32)
        return cls(words, rows.labels, weights, rows_with_word, about)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the 5 L columns of `features`: all labels of one number, then of the next."""
        return tuple(f"{figure}:{label}" for figure in FIGURES for label in self.labels)

    def features(self, texts: Sequence[str], threshold: float = 0.25) -> NDArray[Any]:
        """(n, 5 L): the figures of FIGURES for each label; a text without a known word has zeros.

        For the tokens w of a text, each as often as it stands there: TEC counts those whose largest
        weight is the label's (of equal ones the first counts, and what belongs to no label
        competes), TEI sums Lex(w, e), MEI is the largest Lex(w, e); GEC counts and GEI sums those
        with Lex(w, e) >= `threshold`, the source's delta.
        """
        import numpy as np

        counts, own = counts_of(texts, self.words), self.weights[:, :-1]
        is_largest = np.argmax(self.weights, axis=1)[:, None] == np.arange(len(self.labels))
        is_strong = own >= threshold
        columns = [
            counts @ is_largest.astype(np.float64),
            counts @ own,
            _largest(counts, own),
            counts @ is_strong.astype(np.float64),
            counts @ (own * is_strong),
        ]
        return np.concatenate(list(map(np.asarray, columns)), axis=1)

    def top(self, label: str, words: int = 15) -> list[tuple[str, float, int]]:
        """The best words of a label, as (word, Lex(w, e), training rows with the label and word).

        They are ranked by Lex(w, e) ln(1 + rows): by the weight alone the rarest words would lead.
        """
        import numpy as np

        if label not in self.labels:
            label, asked = clean_label(label), label
            if label not in self.labels:
                remedy = suggest(asked, self.labels)
                raise EmomtlError(f"there is no label '{asked}'", place="--label", remedy=remedy)
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

        def refuse(finding: str, remedy: str = BUILD) -> EmomtlError:
            return EmomtlError(finding, place=place, remedy=remedy)

        try:
            words, labels = tuple(learned.about["words"]), tuple(learned.about["labels"])
            about = dict(learned.about["about"])
            weights, rows = learned.arrays["weights"], learned.arrays["rows"]
        except (KeyError, TypeError, ValueError) as error:
            raise refuse("holds no lexicon") from error
        if not all(isinstance(name, str) for name in (*words, *labels)):
            raise refuse("holds words that are no text")
        if not words or len(set(words)) != len(words) or len(set(labels)) != len(labels):
            raise refuse("holds no word, or a word or label twice", "make it again")
        fits = rows.shape == (len(words), len(labels))
        fits = fits and weights.shape == (len(words), len(labels) + 1)
        if not fits or not np.allclose(weights.sum(axis=1), 1.0):
            raise refuse("holds no lexicon whose rows sum to one", "make it again")
        return cls(words, labels, weights, rows, about)


def _mixture(
    counts: Any,
    has: NDArray[Any],
    place: int | None,
    share: float | Literal["tuned"],
    rows: TrainingRows,
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Weights (V, L + 1) by the mixture model, and how it was fitted.

    Lex(w, e) = theta_e(w) / (sum over k of theta_k(w), and N(w)).
    """
    import numpy as np

    neutral = np.ones(len(has), bool)
    if place is not None:
        neutral = (has.sum(axis=1) == 1) & (has[:, place] > 0)
        if not neutral.any():
            neutral[:] = True
    emotions = [label for label in range(has.shape[1]) if label != place]
    has_emotion = has[:, emotions]
    noise = background(_summed(counts[neutral]))
    per_label = np.asarray((counts.T @ has_emotion).T, np.float64)
    shares = np.full(len(emotions), share) if share != "tuned" else None
    if shares is None:
        is_held_out = np.array([stable_fraction(text, seed=2) < HELD_OUT for text in rows.texts])
        of_held_out = counts[is_held_out].T @ has_emotion[is_held_out]
        held_out = np.asarray(of_held_out.T, np.float64)
        other_noise = background(_summed(counts[neutral & ~is_held_out]))
        shares = tuned_shares(per_label - held_out, other_noise, held_out)
    fit = expectation_maximisation(per_label, noise, shares)
    weights = np.zeros((counts.shape[1], has.shape[1] + 1))
    weights[:, emotions] = fit.theta.T
    weights[:, -1 if place is None else place] = noise
    likelihoods = fit.likelihoods.sum(axis=1)
    about = {
        "iterations": len(likelihoods) - 1,
        "lambda": dict(zip([rows.labels[i] for i in emotions], shares.tolist(), strict=True)),
        "log_likelihood": {"first": float(likelihoods[0]), "last": float(likelihoods[-1])},
    }
    return weights / weights.sum(axis=1, keepdims=True), about


def _summed(counts: Any) -> NDArray[Any]:
    """How often each word (V,) stands in some texts."""
    import numpy as np

    return np.asarray(counts.sum(axis=0), np.float64).ravel()


def _pmi(counts: Any, has: NDArray[Any], place: int | None) -> NDArray[Any]:
    """Weights (V, L + 1) by positive pointwise mutual information, each row divided by its sum.

    A word that no label attracts belongs to the background.
    """
    import numpy as np

    per_label = np.asarray((counts.T @ has).T, np.float64)
    weights = np.zeros((counts.shape[1], has.shape[1] + 1))
    weights[:, :-1] = positive_pmi(per_label, _summed(counts)).T
    is_neutral = weights.sum(axis=1) <= 0
    weights[is_neutral, -1 if place is None else place] = 1.0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _largest(counts: Any, own: NDArray[Any]) -> NDArray[Any]:
    """The largest weight of any word of each text, (n, L); zeros for a text without known words."""
    import numpy as np

    largest = np.zeros((counts.shape[0], own.shape[1]))
    for start in range(0, counts.shape[0], CHUNK):
        chunk = counts[start : start + CHUNK]
        with_words = np.flatnonzero(np.diff(chunk.indptr))
        if len(with_words):
            # `indices` are the words of the texts, one text after the other from `indptr`
            first_words = chunk.indptr[with_words]
            of_words = np.maximum.reduceat(own[chunk.indices], first_words, axis=0)
            largest[start + with_words] = of_words
    return largest
