"""Feature vectors beside the encoder's: learned and standardised once before a run, kept in its folder, made for any text."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.feature import Feature, Learned, TrainingRows
from emomtl.contracts.sources import stable_fraction
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.files import damaged, read_bytes, storage, write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.compose import BoundFeature
    from emomtl.data.corpus import CorpusSplit, TaskData
    from emomtl.data.tokens import Tokens
    from emomtl.run import Run

FOLDER, SUFFIX = "features", ".safetensors"
OWN = "own."
"""What stands before the names of a feature's own arrays in its file, beside `mean` and `scale`."""

FURTHEST = 10.0
"""Standard deviations at which a number is cut: a text of another corpus, ten times as long, must not drown the encoder."""


@dataclass(frozen=True)
class FittedFeature:
    """One feature that has learned, with the mean and the scale, (F,) each, of its columns over its training rows.

    `own` are those rows' vectors, (n, F), not yet standardised, where it learned just now: they cost as many fits as folds.
    """

    bound: BoundFeature
    learned: Learned
    mean: NDArray[Any]
    scale: NDArray[Any]
    own: NDArray[Any] | None = field(default=None, repr=False, compare=False)

    def vectors(self, texts: Sequence[str]) -> NDArray[Any]:
        """(n, F) of float32, standardised, for any texts."""
        return self._standardised(_transformed(self.bound, self.learned, texts))

    def training_vectors(self, data: TaskData) -> NDArray[Any]:
        """The same for the training rows that it learned from, each by a fit without it; computed anew after a resume."""
        own = self.own if self.own is not None else _own_vectors(self.bound, self.learned, training_rows(data, self.bound.of))
        return self._standardised(own)

    def _standardised(self, values: NDArray[Any]) -> NDArray[Any]:
        import numpy as np

        return np.asarray(np.clip((values - self.mean) / self.scale, -FURTHEST, FURTHEST), np.float32)

    def to_bytes(self) -> bytes:
        """The file of the run."""
        arrays = {f"{OWN}{name}": array for name, array in self.learned.arrays.items()}
        return Learned({**arrays, "mean": self.mean, "scale": self.scale}, {"own": dict(self.learned.about)}).to_bytes()

    @classmethod
    def from_bytes(cls, bound: BoundFeature, data: bytes, place: str) -> FittedFeature:
        """What `to_bytes` wrote."""
        kept = Learned.from_bytes(data, place)
        mean, scale, about = kept.arrays.get("mean"), kept.arrays.get("scale"), kept.about.get("own")
        if mean is None or scale is None or mean.ndim != 1 or mean.shape != scale.shape or not isinstance(about, dict):
            raise EmomtlError("holds no feature of a run", place=place, remedy="put back the file that the run wrote")
        own = {name.removeprefix(OWN): array for name, array in kept.arrays.items() if name.startswith(OWN)}
        return cls(bound, Learned(own, about), mean, scale)


@dataclass(frozen=True)
class FittedFeatures:
    """The features of a run, in the manifest's order; without any it leaves everything as it is."""

    fitted: tuple[FittedFeature, ...] = ()

    @property
    def width(self) -> int:
        """The numbers that heads read beside the encoder's."""
        return sum(len(one.mean) for one in self.fitted)

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each feature's file, which the run's environment notes."""
        return {one.bound.name: hashlib.sha256(one.to_bytes()).hexdigest() for one in self.fitted}

    def beside(self, tokens: Tokens, split: CorpusSplit) -> Tokens:
        """The tokens of a split with the vectors of its texts; of a pair both texts are read, as one."""
        import numpy as np

        if not self.fitted:
            return tokens
        texts = whole_texts(split)
        vectors = np.concatenate([one.vectors(texts) for one in self.fitted], axis=1)
        return replace(tokens, features=vectors)

    def beside_all(
        self, data: TaskData, tokens: Mapping[tuple[str, str], Tokens], training: bool = False
    ) -> dict[tuple[str, str], Tokens]:
        """The same for every (corpus, split); for `training` the rows that a feature learned from have vectors without them."""
        splits = {(corpus.name, split): found for corpus in data.corpora for split, found in corpus.splits.items()}
        found = {key: self.beside(one, splits[key]) for key, one in tokens.items()}
        start = 0
        for one in self.fitted if training else ():
            corpus, columns = data.corpus(one.bound.of), slice(start, start + len(one.mean))
            vectors = found[corpus.name, "train"].features
            assert vectors is not None
            vectors[data.rows(one.bound.of, "train").index, columns] = one.training_vectors(data)
            start = columns.stop
        return found

    def keep(self, folder: Path) -> None:
        """Write each feature into the run's folder, so that the run opens without the rows."""
        if not self.fitted:
            return
        with storage(folder / FOLDER):
            (folder / FOLDER).mkdir(exist_ok=True)
        for one in self.fitted:
            write_bytes(folder / FOLDER / f"{one.bound.name}{SUFFIX}", one.to_bytes())


def learn(features: Mapping[str, BoundFeature], data: TaskData) -> FittedFeatures:
    """Let each feature learn from the training rows of its task, those that the run trains on; all problems at once."""
    fitted: list[FittedFeature] = []
    problems: list[Problem] = []
    for bound in features.values():
        try:
            fitted.append(_fitted(bound, data))
        except EmomtlError as error:
            place = f"features.{bound.name}"
            problems += [replace(one, place=f"{place}.{one.place}" if one.place else place) for one in error.problems]
    if problems:
        raise EmomtlError(*problems)
    return FittedFeatures(tuple(fitted))


def reopen(features: Mapping[str, BoundFeature], run: Run) -> FittedFeatures:
    """The features of a run as it kept them; a file that is not the one that the run began with is refused."""
    fitted = []
    for bound in features.values():
        path = run.folder / FOLDER / f"{bound.name}{SUFFIX}"
        data = read_bytes(path, sys.maxsize)
        if hashlib.sha256(data).hexdigest() != run.environment.get("features", {}).get(bound.name):
            raise damaged(path, "its SHA-256 is not the one that the run noted when it began")
        fitted.append(FittedFeature.from_bytes(bound, data, str(path)))
    return FittedFeatures(tuple(fitted))


def whole_texts(split: CorpusSplit) -> list[str]:
    """What features read of each row: the text, and after it that of a pair."""
    pairs = split.pairs or [""] * len(split)
    return [f"{text}\n{pair}" if pair else text for text, pair in zip(split.texts, pairs, strict=True)]


def training_rows(data: TaskData, task: str) -> TrainingRows:
    """A task's training texts with their labels, whatever its head."""
    import numpy as np

    corpus, rows = data.corpus(task), data.rows(task, "train")
    split, taxonomy = corpus.splits["train"], data.taxonomies[task]
    every = whole_texts(split)
    texts = [every[i] for i in rows.index]
    if taxonomy is None:
        return TrainingRows(texts, (), np.zeros((len(texts), 0), bool), corpus.sensitive)
    labels = np.arange(len(taxonomy))
    has = rows.targets >= 0.5 if rows.targets.ndim == 2 else rows.targets[:, None] == labels
    return TrainingRows(texts, taxonomy.names, has, corpus.sensitive)


def _fitted(bound: BoundFeature, data: TaskData) -> FittedFeature:
    import numpy as np

    rows = training_rows(data, bound.of)
    learned = bound.feature.fit(rows)
    own = _own_vectors(bound, learned, rows)
    spread = own.std(axis=0)
    return FittedFeature(bound, learned, own.mean(axis=0), np.where(spread > 0, spread, 1.0), own)


def out_of_fold(
    rows: TrainingRows, folds: int, vectors_of: Callable[[TrainingRows, Sequence[str]], NDArray[Any]]
) -> NDArray[Any]:
    """(n, F): each row's vector by `vectors_of(the rows of all other folds, its text)`, so that it does not know its labels.

    A hash of the text says the fold: equal texts share one, and neither the order nor the number of rows moves any.
    """
    import numpy as np

    fold = np.array([int(stable_fraction(text, seed=3) * folds) for text in rows.texts])
    parts = [(fold == number, rows.only(fold == number).texts) for number in range(folds)]
    made = [(inside, vectors_of(rows.only(~inside), texts)) for inside, texts in parts if texts]
    found = np.empty((len(rows.texts), made[0][1].shape[1]))
    for inside, vectors in made:
        found[inside] = vectors
    return found


def _own_vectors(bound: BoundFeature, learned: Learned, rows: TrainingRows) -> NDArray[Any]:
    """The vectors of the rows that a feature learned from; one that remembers nothing needs no folds."""
    if bound.folds == 1 or type(bound.feature).fit is Feature.fit:
        return _transformed(bound, learned, rows.texts)
    names = bound.feature.names(learned)

    def vectors_of(others: TrainingRows, texts: Sequence[str]) -> NDArray[Any]:
        partly = bound.feature.fit(others)
        if bound.feature.names(partly) != names:
            raise EmomtlError("without some of its rows it has other columns", remedy="folds = 1", place="folds")
        return _transformed(bound, partly, texts)

    return out_of_fold(rows, bound.folds, vectors_of)


def _transformed(bound: BoundFeature, learned: Learned, texts: Sequence[str]) -> NDArray[Any]:
    """What the feature makes of texts, in double precision; an answer of another shape, or not finite, is named."""
    import numpy as np

    values = np.asarray(bound.feature.transform(learned, texts), np.float64)
    wanted = (len(texts), len(bound.feature.names(learned)))
    if values.shape != wanted:
        raise EmomtlError(Problem("", f"'{clean(bound.use)}' gave {values.shape} numbers, not {wanted}", "mend the plugin"))
    if not np.isfinite(values).all():
        raise EmomtlError(Problem("", f"'{clean(bound.use)}' gave numbers that are not finite", "mend the plugin"))
    return values
