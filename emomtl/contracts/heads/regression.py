"""Numbers instead of labels: one or several dimensions, such as valence, arousal and dominance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types

from emomtl.contracts.heads.declaration import BaseRate, Head, Row
from emomtl.errors import EmomtlError, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from emomtl.contracts.taxonomy import Taxonomy

LARGEST = 3e38
"""The largest number that a float32 target holds."""


@dataclass(frozen=True)
class Regression(Head):
    """Mean squared error over the known dimensions; Pearson's r and root mean squared error are reported.

    Targets are float (B, D), NaN where a dimension is unknown; a number may be written as text, and empty text is unknown.
    `low` and `high` bound the targets (a value outside is refused) and start the bias in their middle.
    """

    dimensions: tuple[str, ...] = ("value",)
    lr: Annotated[float, annotated_types.Gt(0)] | None = None
    dropout: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] = 0.1
    low: float | None = None
    high: float | None = None
    kind: ClassVar[str] = "regression"
    main_metric: ClassVar[str] = "pearson_r"
    answers: ClassVar[Literal["labels", "numbers", "nothing"]] = "numbers"
    errors: ClassVar[tuple[str, ...]] = ("rmse",)
    headline: ClassVar[tuple[str, ...]] = ("pearson_r", "rmse")
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        "pearson_r": (-1.0, 1.0),
        "rmse": (0.0, math.inf),
    }

    def __post_init__(self) -> None:
        if not self.dimensions or len(set(self.dimensions)) != len(self.dimensions):
            raise ValueError("a regression head needs dimensions, each named once")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low = {self.low} is not below high = {self.high}")

    def check(self, taxonomy: Taxonomy | None) -> None:
        if taxonomy is not None:
            raise EmomtlError("a regression head takes no taxonomy", remedy="name the numbers in `dimensions`")

    def outputs(self, taxonomy: Taxonomy | None) -> tuple[str, ...]:
        return self.dimensions

    def reported_metrics(self, metrics: Sequence[str]) -> list[str]:
        """Each mean over dimensions, followed by the metric of each dimension."""
        means = self.headline
        return [name for mean in means for name in metrics if name == mean or name.startswith(f"{mean}_")]

    def encode(self, label: Any, taxonomy: Taxonomy | None) -> NDArray[np.float32]:
        import numpy as np

        values = [label] * len(self.dimensions) if label is None else label
        if isinstance(values, (int, float, str)) and not isinstance(values, bool):
            values = [values]
        if not isinstance(values, Sequence) or len(values) != len(self.dimensions):
            raise EmomtlError(
                f"target {quoted(label)} does not give {len(self.dimensions)} number(s)", remedy=", ".join(self.dimensions)
            )
        values = [_number(value) for value in values]
        for name, value in zip(self.dimensions, values, strict=True):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
                raise EmomtlError(
                    f"'{name}' is {quoted(value)}, not a finite number", remedy="leave it empty where it is unknown"
                )
            if abs(value) > LARGEST:
                raise EmomtlError(
                    f"'{name}' is {quoted(value)}, more than float32 holds", remedy="give the numbers on a smaller scale"
                )
            if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
                raise EmomtlError(f"'{name}' is {quoted(value)}, outside {self.low}..{self.high}")
        return np.array([np.nan if value is None else value for value in values], np.float32)

    def present(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        import numpy as np

        return np.asarray(~np.isnan(targets).all(axis=1))

    def known(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The known dimensions of each row (B,): the loss is the mean over them."""
        import numpy as np

        return np.asarray((~np.isnan(targets)).sum(axis=1))

    def build(self, width: int, taxonomy: Taxonomy | None) -> nn.Module:
        from torch import nn

        module = super().build(width, taxonomy)
        if self.low is not None and self.high is not None:
            nn.init.constant_(module[1].bias, (self.low + self.high) / 2)  # type: ignore[index]
        return module

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        import torch

        known = ~torch.isnan(targets)
        each = (logits.float() - torch.nan_to_num(targets)) ** 2
        return (each * known).sum() / known.sum().clamp(min=1)

    def base_rate(self, targets: NDArray[Any]) -> BaseRate | None:
        """The variance v of the targets, over all known numbers; a squared error e is e / (2 v) nats.

        The best constant of a dimension is its mean. A Gaussian with that variance has the negative
        log-likelihood e / (2 v) + ln(2 pi v) / 2, of which the second part has no gradient and is left out.
        """
        import numpy as np

        known = ~np.isnan(targets)
        rows = known.sum(axis=0)
        means = np.nansum(targets, axis=0, dtype=np.float64) / np.maximum(rows, 1)
        errors = np.where(known, targets - means, 0.0) ** 2
        variance = float(errors.sum() / max(1, rows.sum()))
        return BaseRate(variance, nats=1 / (2 * variance) if variance > 0 else 1.0)

    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        import numpy as np

        return logits.astype(np.float64)

    def decode(self, probabilities: NDArray[Any], names: Sequence[str]) -> list[list[tuple[str, float]]]:
        return [[(name, float(value)) for name, value in zip(names, row, strict=True)] for row in probabilities]

    def metrics(self, targets: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, float | None]:
        rows = self.table(targets, probabilities, self.dimensions)
        found: dict[str, float | None] = {}
        for figure in ("pearson_r", "rmse"):
            values = [row[figure] for row in rows]
            known = [float(value) for value in values if value is not None]
            found[figure] = sum(known) / len(known) if len(known) == len(values) else None
            if len(rows) > 1:
                found |= {f"{figure}_{row['label']}": row[figure] for row in rows}  # type: ignore[misc]
        return found

    def table(self, targets: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str]) -> list[Row]:
        import numpy as np
        from scipy.stats import pearsonr

        rows: list[Row] = []
        for i, name in enumerate(names):
            known = ~np.isnan(targets[:, i])
            truth, found = targets[known, i].astype(np.float64), probabilities[known, i]
            varied = len(truth) > 1 and np.ptp(truth) > 0 and np.ptp(found) > 0
            rmse = float(np.sqrt(((truth - found) ** 2).mean())) if len(truth) else None
            r = float(pearsonr(truth, found).statistic) if varied else None
            rows.append({"label": name, "support": int(known.sum()), "pearson_r": r, "rmse": rmse})
        return rows


def _is_finite(value: float) -> bool:
    """Whether a float holds the number: 10**400 is an integer that none does."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _number(value: Any) -> Any:
    """A number written as text as that number, an empty text as None (unknown); anything else as it is."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return float(value)
    except ValueError:
        return value
