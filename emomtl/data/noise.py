"""Label noise: labels of a share of training rows replaced, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emomtl.contracts.sources import stable_fraction
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.bound_task import BoundTask


@dataclass(frozen=True)
class Noise:
    """What label noise did to a task.

    `share` was asked for, `rows` have a label, those of `replaced` were replaced, and `changed`
    of those now differ.
    """

    share: float
    rows: int
    replaced: int
    changed: int

    def __str__(self) -> str:
        replaced = f"the labels of {self.replaced:,} of {self.rows:,} training rows are replaced"
        return f"label noise {self.share:g}: {replaced}, {self.changed:,} of them by other ones"

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON."""
        return asdict(self)


Moves = dict[int, int]
"""By the key of a replaced row, the key of the row whose labels it got; empty of single labels."""


def flip_labels(
    task: BoundTask,
    targets: NDArray[Any],
    keys: Sequence[int],
    taxonomy: Taxonomy | None,
    seed: int,
) -> tuple[NDArray[Any], Noise, Moves]:
    """Replace the targets (n, ...) of about the share `label_noise` of a task's labelled rows.

    Whether a row is replaced depends on its key in the source (`keys`, n of them), the task's name
    and the seed alone; so the rows of a smaller share are among those of a larger one. A single
    label becomes another one, drawn uniformly. Label sets and numbers are permuted among the
    replaced rows, so each label stays as frequent as it was.
    """
    import numpy as np

    share = task.table.label_noise
    labelled = np.flatnonzero(task.head.present(targets))
    replaced = []
    for row in labelled.tolist():
        if stable_fraction(f"{task.name} chosen {keys[row]}", seed) < share:
            replaced.append(row)
    chosen = np.array(replaced, dtype=np.int64)
    drawn = np.array([stable_fraction(f"{task.name} drawn {keys[row]}", seed) for row in replaced])
    noisy, moves = targets.copy(), {}
    if targets.ndim == 1 and taxonomy is not None:
        # A step of 1 .. L-1 from the true label, modulo the L labels: never the label itself.
        classes = len(taxonomy.names)
        steps = 1 + (drawn * (classes - 1)).astype(targets.dtype)
        noisy[chosen] = (targets[chosen] + steps) % classes
    else:
        # In a random order each row gets the targets of the row before it.
        order = chosen[np.argsort(drawn, kind="stable")]
        givers = np.roll(order, 1)
        noisy[order] = targets[givers]
        for row, giver in zip(order.tolist(), givers.tolist(), strict=True):
            moves[keys[row]] = keys[giver]
    changed = _differing(targets, noisy, chosen)
    return noisy, Noise(share, len(labelled), len(chosen), changed), moves


def follow_noise(
    task: BoundTask, targets: NDArray[Any], keys: Sequence[int], moves: Moves
) -> tuple[NDArray[Any], Noise]:
    """Permute targets (n, ...) as another task's noise did: a row gets those of its giver there.

    So labels that are made of the other task's (coarser groups of emotions) are those of its noisy
    labels. EmomtlError where the two do not have the same rows.
    """
    import numpy as np

    place = {key: row for row, key in enumerate(keys)}
    lacking = sum(key not in place or giver not in place for key, giver in moves.items())
    if lacking:
        found = f"{lacking:,} of the rows that '{task.table.label_noise_from}' replaced "
        found += "are not among the task's training rows"
        where = f"tasks.{task.name}.label_noise_from"
        raise EmomtlError(Problem(where, found, "give both tasks the same `source` and `limit`"))
    rows = np.array([place[key] for key in moves], dtype=np.int64)
    noisy = targets.copy()
    noisy[rows] = targets[[place[giver] for giver in moves.values()]]
    labelled = int(np.count_nonzero(task.head.present(targets)))
    share = len(rows) / labelled if labelled else 0.0
    changed = _differing(targets, noisy, rows)
    return noisy, Noise(round(share, 4), labelled, len(rows), changed)


def _differing(before: NDArray[Any], after: NDArray[Any], rows: NDArray[Any]) -> int:
    """How many of some rows now have other targets."""
    import numpy as np

    equal_nan = before.dtype.kind == "f"
    changed = 0
    for row in rows:
        changed += not np.array_equal(after[row], before[row], equal_nan=equal_nan)
    return changed
