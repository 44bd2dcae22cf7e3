"""`lexicon`: five numbers a label, from an emotion lexicon learned from the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from emomtl import Feature, Learned, Lexicon, TrainingRows, hookimpl

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LexiconFeature(Feature):
    """A domain-specific emotion lexicon (Bandhakavi et al. 2017): five numbers for each label.

    Over the words of a text: how many have the label as their strongest, the sum and the largest of
    their weights for it, and number and sum of the weights of at least `threshold` (the source's
    delta, for which it names no value). `method` is the unigram mixture model, or `pmi`.
    `background` is the label whose rows show the language that all texts share: "neutral" where it
    is left out, and all rows where the task has no such label. `share` is lambda, the part of an
    emotion's text that is its own; "tuned" takes for each label the one that makes a held-out tenth
    of the training rows most likely. Words in fewer than `min_rows` rows are left out.

    Departures: the background's counts are smoothed by 0.1, and the rows that the lexicon was
    learned from get the numbers of lexicons without them (the key `folds` beside `use`; 1 is the
    source's way).
    """

    method: Literal["mixture", "pmi"] = "mixture"
    threshold: Annotated[float, Gt(0), Le(1)] = 0.25
    background: str | None = None
    share: Annotated[float, Gt(0), Lt(1)] | Literal["tuned"] = 0.9
    min_rows: Annotated[int, Ge(1)] = 5

    def fit(self, rows: TrainingRows) -> Learned:
        lexicon = Lexicon.learn(rows, self.method, self.background, self.share, self.min_rows)
        return lexicon.learned()

    def names(self, learned: Learned) -> tuple[str, ...]:
        """`total_count:joy` and so on, 5 L of them."""
        return Lexicon.of(learned).feature_names

    def transform(self, learned: Learned, texts: Sequence[str]) -> NDArray[Any]:
        return Lexicon.of(learned).features(texts, self.threshold)


@hookimpl
def emomtl_features() -> dict[str, type[Feature]]:
    return {"lexicon": LexiconFeature}
