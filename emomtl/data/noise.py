"""Label noise: labels of a share of training rows replaced, the same ones in every run of the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import stable_fraction
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.task_input import TaskInput


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


Moves = dict[int, int]
"""By the key of a replaced row, the key of the row whose label set or numbers it got; empty of single labels."""


def flipped(
    one: TaskInput, targets: NDArray[Any], keys: Sequence[int], taxonomy: Taxonomy | None
) -> tuple[NDArray[Any], Noise, Moves]:
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
    noisy, moves = targets.copy(), {}
    if targets.ndim == 1 and taxonomy is not None:
        classes = len(taxonomy.names)
        noisy[chosen] = (targets[chosen] + 1 + (drawn * (classes - 1)).astype(targets.dtype)) % classes
    else:
        order = chosen[np.argsort(drawn, kind="stable")]
        givers = np.roll(order, 1)
        noisy[order] = targets[givers]
        moves = {keys[row]: keys[giver] for row, giver in zip(order.tolist(), givers.tolist(), strict=True)}
    return noisy, Noise(share, len(labelled), len(chosen), _differing(targets, noisy, chosen)), moves


def followed(one: TaskInput, targets: NDArray[Any], keys: Sequence[int], moves: Moves) -> tuple[NDArray[Any], Noise]:
    """Targets (n, ...) as another task's noise has them: each of its replaced rows gets the labels of the row that it got there.

    So labels that are made of the other task's (coarser groups of emotions) are those of its noisy labels. EmomtlError where
    the two do not have the same rows.
    """
    import numpy as np

    place = {key: row for row, key in enumerate(keys)}
    if lacking := sum(key not in place or giver not in place for key, giver in moves.items()):
        found = f"{lacking:,} of the rows that '{one.noise_from}' replaced are not among the task's training rows"
        where = f"tasks.{one.name}.label_noise_from"
        raise EmomtlError(Problem(where, found, "give both tasks the same `source` and `limit`"))
    rows = np.array([place[key] for key in moves], dtype=np.int64)
    noisy = targets.copy()
    noisy[rows] = targets[[place[giver] for giver in moves.values()]]
    labelled = int(np.count_nonzero(one.head.present(targets)))
    share = len(rows) / labelled if labelled else 0.0
    return noisy, Noise(round(share, 4), labelled, len(rows), _differing(targets, noisy, rows))


def _differing(before: NDArray[Any], after: NDArray[Any], rows: NDArray[Any]) -> int:
    """How many of some rows now have other labels."""
    import numpy as np

    equal_nan = before.dtype.kind == "f"
    return sum(not np.array_equal(after[row], before[row], equal_nan=equal_nan) for row in rows)
