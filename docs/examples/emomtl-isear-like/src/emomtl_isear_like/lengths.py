"""The feature `lengths`: how long a text is, and how loud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt

from emomtl import Feature, Learned, hookimpl

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Lengths(Feature):
    """ln(1 + words), at most `most` words counted, and the part of the letters that are capitals."""

    most: Annotated[int, Gt(0)] = 200

    def names(self, learned: Learned) -> tuple[str, ...]:
        """Two columns."""
        return ("words", "capitals")

    def transform(self, learned: Learned, texts: Sequence[str]) -> NDArray[Any]:
        """(n, 2) for n texts; an empty one has zeros."""
        import numpy as np

        words = [min(len(text.split()), self.most) for text in texts]
        capitals = [sum(letter.isupper() for letter in text) / max(1, len(text)) for text in texts]
        return np.stack([np.log1p(words), capitals], axis=1)


@hookimpl
def emomtl_features() -> dict[str, type[Feature]]:
    """Offer `lengths`."""
    return {"lengths": Lengths}
