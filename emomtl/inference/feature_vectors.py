"""Feature vectors beside the encoder's: fitted and standardised once before a run, kept in it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
"""Standard deviations at which a number is clipped.

A text of another corpus, ten times as long, must not drown the encoder.
"""


@dataclass(frozen=True)
class FittedFeature:
    """A fitted feature, with the mean and scale (F,) of its columns over its training rows.

    `own` are those rows' vectors (n, F), not yet standardised, where it was fitted just now: they
    cost as many fits as there are folds.
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
        """The same for its training rows, each by a fit without it; recomputed after a resume."""
        own = self.own
        if own is None:
            own = _own_vectors(self.bound, self.learned, training_rows(data, self.bound.of))
        return self._standardised(own)

    def _standardised(self, values: NDArray[Any]) -> NDArray[Any]:
        # z = (x - mean) / scale, by column
        standardised = (values - self.mean) / self.scale
        return np.asarray(np.clip(standardised, -FURTHEST, FURTHEST), np.float32)

    def to_bytes(self) -> bytes:
        """The feature as a file of the run."""
        arrays = {f"{OWN}{name}": array for name, array in self.learned.arrays.items()}
        arrays |= {"mean": self.mean, "scale": self.scale}
        return Learned(arrays, {"own": dict(self.learned.about)}).to_bytes()

    @classmethod
    def from_bytes(cls, bound: BoundFeature, data: bytes, place: str) -> FittedFeature:
        """The feature that `to_bytes` wrote; `place` names the file in errors."""
        saved = Learned.from_bytes(data, place)
        arrays, about = dict(saved.arrays), saved.about.get("own")
        mean, scale = arrays.pop("mean", np.empty(())), arrays.pop("scale", np.empty(()))
        if not isinstance(about, dict) or mean.ndim != 1 or mean.shape != scale.shape:
            remedy = "put back the file that the run wrote"
            raise EmomtlError("holds no feature of a run", place=place, remedy=remedy)
        own = {name.removeprefix(OWN): array for name, array in arrays.items()}
        return cls(bound, Learned(own, about), mean, scale)


@dataclass(frozen=True)
class FittedFeatures:
    """The features of a run, in the manifest's order; without any, nothing is changed by it."""

    fitted: tuple[FittedFeature, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers heads read beside the encoder's."""
        return sum(len(feature.mean) for feature in self.fitted)

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each feature's file, which the run's environment records."""
        return {f.bound.name: hashlib.sha256(f.to_bytes()).hexdigest() for f in self.fitted}

    def beside(self, tokens: Tokens, split: CorpusSplit) -> Tokens:
        """The tokens of a split with the vectors of its texts; a pair is read as one text."""
        if not self.fitted:
            return tokens
        texts = whole_texts(split)
        vectors = [feature.vectors(texts) for feature in self.fitted]
        return replace(tokens, features=np.concatenate(vectors, axis=1))

    def beside_all(
        self, data: TaskData, tokens: Mapping[tuple[str, str], Tokens], training: bool = False
    ) -> dict[tuple[str, str], Tokens]:
        """The same for every (corpus, split).

        For `training` the rows that a feature was fitted on have vectors of fits without them.
        """
        extended: dict[tuple[str, str], Tokens] = {}
        for corpus in data.corpora:
            for split, texts in corpus.splits.items():
                key = (corpus.name, split)
                if key in tokens:
                    extended[key] = self.beside(tokens[key], texts)
        start = 0  # features have their columns side by side, in the manifest's order
        for feature in self.fitted if training else ():
            task, columns = feature.bound.of, slice(start, start + len(feature.mean))
            vectors = extended[data.corpus(task).name, "train"].features
            assert vectors is not None
            vectors[data.rows(task, "train").index, columns] = feature.training_vectors(data)
            start = columns.stop
        return extended

    def keep(self, folder: Path) -> None:
        """Write each feature into the run's folder, so that the run opens without the rows."""
        if not self.fitted:
            return
        with storage(folder / FOLDER):
            (folder / FOLDER).mkdir(exist_ok=True)
        for feature in self.fitted:
            write_bytes(_path(folder, feature.bound), feature.to_bytes())


def learn(features: Mapping[str, BoundFeature], data: TaskData) -> FittedFeatures:
    """Fit each feature on the training rows of its task; one EmomtlError with all problems."""
    fitted: list[FittedFeature] = []
    problems: list[Problem] = []
    for bound in features.values():
        try:
            fitted.append(_fit(bound, data))
        except EmomtlError as error:
            for problem in error.problems:
                place = f"features.{bound.name}.{problem.place}".rstrip(".")
                problems.append(replace(problem, place=place))
    if problems:
        raise EmomtlError(*problems)
    return FittedFeatures(tuple(fitted))


def reopen(features: Mapping[str, BoundFeature], run: Run) -> FittedFeatures:
    """The features of a run from their files, which have to be those that it began with."""
    fitted = []
    for bound in features.values():
        path = _path(run.folder, bound)
        data = read_bytes(path, sys.maxsize)
        digest = hashlib.sha256(data).hexdigest()
        if digest != run.environment.get("features", {}).get(bound.name):
            raise damaged(path, "its SHA-256 is not the one that the run noted when it began")
        fitted.append(FittedFeature.from_bytes(bound, data, str(path)))
    return FittedFeatures(tuple(fitted))


def _path(folder: Path, bound: BoundFeature) -> Path:
    return folder / FOLDER / f"{bound.name}{SUFFIX}"


def whole_texts(split: CorpusSplit, index: Iterable[int] | None = None) -> list[str]:
    """What features read of each row (or of those in `index`): the text, then that of a pair."""
    texts: list[str] = []
    for i in range(len(split)) if index is None else index:
        pair = split.pairs[i] if split.pairs is not None else ""
        texts.append(f"{split.texts[i]}\n{pair}" if pair else split.texts[i])
    return texts


def training_rows(data: TaskData, task: str) -> TrainingRows:
    """A task's training texts with their labels, whatever its head."""
    corpus, rows = data.corpus(task), data.rows(task, "train")
    taxonomy = data.taxonomies[task]
    texts = whole_texts(corpus.splits["train"], rows.index)
    if taxonomy is None:
        return TrainingRows(texts, (), np.zeros((len(texts), 0), bool), corpus.sensitive)
    classes = np.arange(len(taxonomy))
    has = rows.targets >= 0.5 if rows.targets.ndim == 2 else rows.targets[:, None] == classes
    return TrainingRows(texts, taxonomy.names, has, corpus.sensitive)


def _fit(bound: BoundFeature, data: TaskData) -> FittedFeature:
    rows = training_rows(data, bound.of)
    learned = bound.feature.fit(rows)
    own = _own_vectors(bound, learned, rows)
    deviation = own.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)  # a constant column stays as it is
    return FittedFeature(bound, learned, own.mean(axis=0), scale, own)


def out_of_fold(
    rows: TrainingRows,
    folds: int,
    vectors_of: Callable[[TrainingRows, Sequence[str]], NDArray[Any]],
) -> NDArray[Any]:
    """(n, F): each row's vector by `vectors_of(rows of all other folds, its text)`.

    So it does not know its own labels. A hash of the text chooses the fold: equal texts share one,
    and neither the order nor the number of rows moves any.
    """
    fold = np.array([int(stable_fraction(text, seed=3) * folds) for text in rows.texts])
    vectors: NDArray[Any] | None = None
    for number in range(folds):
        inside = fold == number
        if inside.any():
            of_fold = vectors_of(rows.only(~inside), rows.only(inside).texts)
            if vectors is None:
                vectors = np.empty((len(rows.texts), of_fold.shape[1]))
            vectors[inside] = of_fold
    assert vectors is not None
    return vectors


def _own_vectors(bound: BoundFeature, learned: Learned, rows: TrainingRows) -> NDArray[Any]:
    """The vectors of a feature's training rows; one that learns nothing needs no folds."""
    if bound.folds == 1 or type(bound.feature).fit is Feature.fit:
        return _transformed(bound, learned, rows.texts)
    names = bound.feature.names(learned)

    def vectors_of(others: TrainingRows, texts: Sequence[str]) -> NDArray[Any]:
        refitted = bound.feature.fit(others)
        if bound.feature.names(refitted) != names:
            finding = "without some of its rows it has other columns"
            raise EmomtlError(finding, remedy="folds = 1", place="folds")
        return _transformed(bound, refitted, texts)

    return out_of_fold(rows, bound.folds, vectors_of)


def _transformed(bound: BoundFeature, learned: Learned, texts: Sequence[str]) -> NDArray[Any]:
    """What a feature makes of texts (n, F), float64; EmomtlError for other shapes, and for NaN."""
    values = np.asarray(bound.feature.transform(learned, texts), np.float64)
    shape = (len(texts), len(bound.feature.names(learned)))
    finding = ""
    if values.shape != shape:
        finding = f"'{clean(bound.use)}' gave {values.shape} numbers, not {shape}"
    elif not np.isfinite(values).all():
        finding = f"'{clean(bound.use)}' gave numbers that are not finite"
    if finding:
        raise EmomtlError(finding, remedy="mend the plugin")
    return values
