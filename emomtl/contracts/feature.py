"""What a feature is: vectors made of texts that stand beside the encoder's, learned from one task's training rows."""

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
"""The one entry of a file's metadata; of several entries the library does not keep the order, and bytes would differ."""

FOLDS = 5
"""Parts of the training rows, unless a manifest says otherwise, each of which gets vectors of a fit without it."""


@dataclass(frozen=True)
class TrainingRows:
    """What a feature learns from: n `texts`, and for each whether it `has` each of the L `labels`, (n, L) of bool.

    `labels` is empty for a task that answers with numbers. A label that a row's raters left unknown counts as absent. Of
    `sensitive` texts nothing may be shown, single words neither.
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
    """What was learned: `arrays` by name, and `about`, which JSON can hold (words, say). It is kept without pickles."""

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """One safetensors file, `about` in its metadata, with the SHA-256 of both: equal things have equal bytes."""
        import numpy as np
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(array) for name, array in sorted(self.arrays.items())}
        text = json.dumps({"about": dict(self.about), "sha256": _digest(arrays, self.about)}, sort_keys=True, allow_nan=False)
        return bytes(save(arrays or {"": np.zeros(0)}, metadata={KEY: text}))

    @classmethod
    def from_bytes(cls, data: bytes, place: str) -> Learned:
        """What `to_bytes` wrote; `EmomtlError` that names `place` where it is anything else, or a byte has changed."""
        from safetensors.numpy import load

        try:
            kept = loads(tensor_header(data, len(data))[1][KEY])
            arrays = {name: array for name, array in load(data).items() if name}
            about, digest = kept["about"], kept["sha256"]
            whole = isinstance(about, dict) and digest == _digest(arrays, about)
        except Exception as error:  # the library has no one error for what it cannot read
            raise EmomtlError(f"does not read: {clean(str(error), 200)}", place=place, remedy="was it made by emomtl?") from error
        if not whole:
            raise EmomtlError("damaged: its SHA-256 is not the one that was written", place=place, remedy="make it again")
        return cls(arrays, about)


def _digest(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> str:
    """The SHA-256 of names, types, shapes and values."""
    found = hashlib.sha256(json.dumps(dict(about), sort_keys=True, allow_nan=False).encode())
    for name, array in sorted(arrays.items()):
        found.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
    return found.hexdigest()


class Feature(ABC):
    """Numbers made of a text; a frozen dataclass whose fields are the options of `[features.NAME]`.

    `fit` sees the training rows of one task before a run begins. What it returns is kept in the run, and `transform` gets it
    back: in training, after a resume, in `eval` and in `predict`. The very rows that it learns from get, for training, the
    vectors of fits without them (`folds`), so that no vector knows its row's labels. Each column is standardised with the mean
    and the standard deviation of those vectors, and every head reads the encoder's W numbers and these F.
    """

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    def fit(self, rows: TrainingRows) -> Learned:
        """What the feature has to remember; nothing by default. `EmomtlError` where the rows do not suit it."""
        return Learned()

    @abstractmethod
    def names(self, learned: Learned) -> tuple[str, ...]:
        """The names of the F columns."""

    @abstractmethod
    def transform(self, learned: Learned, texts: Sequence[str]) -> NDArray[Any]:
        """(n, F) finite numbers for n texts; a pure function of `learned` and each text alone."""
