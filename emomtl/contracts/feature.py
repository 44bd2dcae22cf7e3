"""What a feature is: vectors of texts beside the encoder's, learned from a task's training rows."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, clean
from emomtl.safety.untrusted import loads, tensor_header

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY = "emomtl"
"""The one entry of a file's metadata. safetensors does not keep the order of several, so the bytes
would differ from file to file."""

FOLDS = 5
"""The parts of the training rows that get vectors of a fit without them, by default."""


@dataclass(frozen=True)
class TrainingRows:
    """What a feature learns from: n `texts`, and the labels that each `has`, (n, L) of bool.

    `labels` are the names of the L labels, empty for a task that answers with numbers. A label that
    a row's raters left unknown counts as absent. Of `sensitive` texts nothing may be shown, not
    even single words.
    """

    texts: Sequence[str]
    labels: tuple[str, ...]
    has: NDArray[Any]
    sensitive: bool = False

    def only(self, chosen: NDArray[Any]) -> TrainingRows:
        """The rows at which `chosen` (n,) is true."""
        texts = [text for text, wanted in zip(self.texts, chosen, strict=True) if wanted]
        return TrainingRows(texts, self.labels, self.has[chosen], self.sensitive)


@dataclass(frozen=True)
class Learned:
    """What was learned: `arrays` by name, and `about`, which JSON can hold (words, say).

    It is saved without pickles.
    """

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """One safetensors file with `about` in its metadata and the SHA-256 of both.

        Equal contents have equal bytes.
        """
        import numpy as np
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(self.arrays[name]) for name in sorted(self.arrays)}
        content = {"about": dict(self.about), "sha256": _digest(arrays, self.about)}
        text = json.dumps(content, sort_keys=True, allow_nan=False)
        # safetensors writes no file without a tensor
        return bytes(save(arrays or {"": np.zeros(0)}, metadata={KEY: text}))

    @classmethod
    def from_bytes(cls, data: bytes, place: str) -> Learned:
        """What `to_bytes` wrote; `EmomtlError` that names `place` if it is anything else."""
        from safetensors.numpy import load

        try:
            content = loads(tensor_header(data, len(data))[1][KEY])
            arrays = {name: array for name, array in load(data).items() if name}
            about, digest = content["about"], content["sha256"]
            intact = isinstance(about, dict) and digest == _digest(arrays, about)
        except Exception as error:  # safetensors has no one error for what it cannot read
            problem = f"does not read: {clean(str(error), 200)}"
            raise EmomtlError(problem, place=place, remedy="was it made by emomtl?") from error
        if not intact:
            problem = "damaged: its SHA-256 is not the one that was written"
            raise EmomtlError(problem, place=place, remedy="make it again")
        return cls(arrays, about)


def _digest(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> str:
    """The SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256(json.dumps(dict(about), sort_keys=True, allow_nan=False).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()


class Feature(ABC):
    """Numbers made of a text; a frozen dataclass whose fields are options of `[features.NAME]`.

    `fit` sees the training rows of one task before a run begins. What it returns is saved in the
    run, and `transform` gets it back: in training, after a resume, in `eval` and in `predict`. The
    rows that it learned from get the vectors of fits without them while training (`folds`), so that
    no vector knows the labels of its row. Each column is standardised with the mean and the
    standard deviation of those vectors, and every head reads the encoder's W numbers and these F.
    """

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    def fit(self, rows: TrainingRows) -> Learned:
        """What the feature has to remember; nothing by default.

        Raise `EmomtlError` where the rows do not suit it.
        """
        return Learned()

    @abstractmethod
    def names(self, learned: Learned) -> tuple[str, ...]:
        """The names of the F columns."""

    @abstractmethod
    def transform(self, learned: Learned, texts: Sequence[str]) -> NDArray[Any]:
        """(n, F) finite numbers for n texts; a pure function of `learned` and each text alone."""
