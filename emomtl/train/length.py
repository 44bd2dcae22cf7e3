"""How long a run is, and how far it has come: progress from 0 to 1, in steps or in updates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from emomtl.manifest import Manifest, TrainTable
from emomtl.train.state import State

NEARLY_WHOLE = 0.01
"""A pass that lacks less than this part counts as whole: updates seldom divide into passes."""

ROUNDING = 1e-9
"""Keeps a progress such as 0.9999999999 / 3 * 3 from falling into the epoch before."""


def batch_sizes(manifest: Manifest) -> dict[str, int]:
    """Examples of each trained task in a step of its own, or in a joint step shared equally."""
    trained = {name: table for name, table in manifest.tasks.items() if table.trained}
    default = manifest.train.batch_size
    return {name: table.batch_size or default for name, table in trained.items()}


@dataclass(frozen=True)
class Length:
    """`total` steps, or updates of `target`.

    `epochs` is the same length in passes over all rows, or over those of the target.
    """

    total: int
    epochs: float
    target: str | None = None

    @classmethod
    def of(
        cls, train: TrainTable, sizes: Mapping[str, int], batches: Mapping[str, int], joint: bool
    ) -> Length:
        """The length of a run over N_t rows in batches of B_t.

        An epoch is ceil(sum_t N_t / B_t) draws of a batch; a joint step is one draw for each task.
        """
        if train.target is not None:
            assert train.target_updates is not None
            passes = train.target_updates * batches[train.target] / sizes[train.target]
            return cls(train.target_updates, passes, train.target)
        draws = sum(sizes[task] / batches[task] for task in sizes)
        per_step = len(sizes) if joint else 1
        if train.steps is not None:
            return cls(train.steps, train.steps * per_step / draws)
        assert train.epochs is not None
        steps = math.ceil(math.ceil(round(train.epochs * draws, 6)) / per_step)
        return cls(max(1, steps), train.epochs)

    def progress(self, state: State) -> float:
        """How far the run has come, 0..1."""
        done = state.updates[self.target] if self.target is not None else state.step
        return min(1.0, done / self.total)

    def epoch(self, progress: float) -> int:
        """The epoch of a progress, from 0, in the run's equal parts; at their ends it is scored."""
        parts = max(1, math.ceil(self.epochs - ROUNDING))
        return min(parts - 1, int(progress * parts + ROUNDING))

    def passed(self, progress: float) -> int:
        """Whole passes behind a progress, as samplers and weightings count epochs.

        A rest after the last whole pass belongs to that pass.
        """
        return min(self.passes - 1, int(progress * self.epochs + ROUNDING))

    @property
    def passes(self) -> int:
        """The number of whole passes, at least 1: E of the annealed sampler. 2.0006 count as 2."""
        return max(1, math.floor(self.epochs + NEARLY_WHOLE))


def rate_factor(progress: float, warmup: float, schedule: str) -> float:
    """The learning rate as a part of its peak.

    Linear warm-up up to progress `warmup`; then constant, or decay to 0 (linear or cosine).
    """
    if progress < warmup:
        return progress / warmup
    if schedule == "constant":
        return 1.0
    left = (1.0 - progress) / (1.0 - warmup)
    if schedule == "cosine":
        # Loshchilov & Hutter (2017, arXiv:1608.03983), eq. 5, with eta_min = 0, eta_max = 1 and no
        # restart: eta = (1 + cos(pi T_cur / T)) / 2, where T_cur / T = 1 - left.
        return 0.5 * (1.0 + math.cos(math.pi * (1.0 - left)))
    return left
