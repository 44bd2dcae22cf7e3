"""Label noise: labels of a share of training rows replaced, the same ones in every run of the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emomtl.sources import stable_fraction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.data.tasks import TaskInput
    from emomtl.taxonomy import Taxonomy


@dataclass(frozen=True)
class Noise:
    """What label noise did to a task: the share that was asked for, labelled rows, rows replaced, and those that now differ."""

    share: float
    rows: int
    replaced: int
    changed: int

    def __str__(self) -> str:
        return (
            f"label noise {self.share:g}: the labels of {self.replaced:,} of {self.rows:,} training rows are replaced, "
            f"{self.changed:,} of them by other ones"
        )

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON."""
        return asdict(self)


def flipped(one: TaskInput, targets: NDArray[Any], keys: Sequence[int], taxonomy: Taxonomy | None) -> tuple[NDArray[Any], Noise]:
    """Targets (n, ...) of which about a share of the labelled rows, `one.label_noise`, is replaced, and what was done.

    Whether a row is, depends on its key in the source (n,), the task's name and the seed alone; so the rows of a smaller share
    are among those of a larger one. A single label becomes another one, drawn uniformly. Label sets and numbers go around among
    the replaced rows, so each label stays as frequent as it was.
    """
    import numpy as np

    share, seed = one.label_noise, one.seed
    labelled = np.flatnonzero(one.head.present(targets))
    chosen = np.array(
        [i for i in labelled.tolist() if stable_fraction(f"{one.name} chosen {keys[i]}", seed) < share], dtype=np.int64
    )
    drawn = np.array([stable_fraction(f"{one.name} drawn {keys[i]}", seed) for i in chosen.tolist()])
    noisy = targets.copy()
    if targets.ndim == 1 and taxonomy is not None:
        classes = len(taxonomy.names)
        noisy[chosen] = (targets[chosen] + 1 + (drawn * (classes - 1)).astype(targets.dtype)) % classes
    else:
        order = chosen[np.argsort(drawn, kind="stable")]
        noisy[order] = targets[np.roll(order, 1)]
    differs = [not np.array_equal(noisy[i], targets[i], equal_nan=targets.dtype.kind == "f") for i in chosen]
    return noisy, Noise(share, len(labelled), len(chosen), sum(differs))
