"""Numbers instead of labels: one or several dimensions, such as valence, arousal and dominance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types

from emomtl.contracts.heads.declaration import BaseRate, Head, Metrics, Row
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
    """Mean squared error over the known dimensions, with Pearson's r and the RMSE as metrics.

    Targets are float (B, D), NaN where a dimension is unknown. A number may be written as text, and
    empty text is unknown. `low` and `high` bound the targets (a value outside is refused), and the
    bias starts in their middle.
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
            problem = "a regression head takes no taxonomy"
            raise EmomtlError(problem, remedy="name the numbers in `dimensions`")

    def outputs(self, taxonomy: Taxonomy | None) -> tuple[str, ...]:
        return self.dimensions

    def reported_metrics(self, metrics: Sequence[str]) -> list[str]:
        """Each mean over dimensions, followed by the metric of each dimension."""
        reported = []
        for mean in self.headline:
            reported += [name for name in metrics if name == mean or name.startswith(f"{mean}_")]
        return reported

    def encode(self, label: Any, taxonomy: Taxonomy | None) -> NDArray[np.float32]:
        import numpy as np

        values = [None] * len(self.dimensions) if label is None else label
        if isinstance(values, (int, float, str)) and not isinstance(values, bool):
            values = [values]
        if not isinstance(values, Sequence) or len(values) != len(self.dimensions):
            problem = f"target {quoted(label)} does not give {len(self.dimensions)} number(s)"
            raise EmomtlError(problem, remedy=", ".join(self.dimensions))
        pairs = zip(self.dimensions, values, strict=True)
        return np.array([self._target(name, value) for name, value in pairs], np.float32)

    def _target(self, dimension: str, value: Any) -> float:
        """The number of one dimension, NaN where it is unknown."""
        number = _number(value)
        if number is None:
            return math.nan
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not is_number or not _is_finite(number):
            fault, remedy = "not a finite number", "leave it empty where it is unknown"
        elif abs(number) > LARGEST:
            fault, remedy = "more than float32 holds", "give the numbers on a smaller scale"
        elif (self.low is not None and number < self.low) or (
            self.high is not None and number > self.high
        ):
            fault, remedy = f"outside {self.low}..{self.high}", ""
        else:
            return float(number)
        raise EmomtlError(f"'{dimension}' is {quoted(number)}, {fault}", remedy=remedy)

    def present(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        import numpy as np

        return np.asarray(~np.isnan(targets).all(axis=1))

    def known(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The known dimensions of each row (B,)."""
        import numpy as np

        return np.asarray((~np.isnan(targets)).sum(axis=1))

    def build(self, width: int, taxonomy: Taxonomy | None) -> nn.Module:
        from torch import nn

        module = super().build(width, taxonomy)
        if self.low is not None and self.high is not None:
            middle = (self.low + self.high) / 2
            nn.init.constant_(module[1].bias, middle)  # type: ignore[index]
        return module

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        import torch

        known = ~torch.isnan(targets)
        squared_errors = (logits.float() - torch.nan_to_num(targets)) ** 2
        return (squared_errors * known).sum() / known.sum().clamp(min=1)

    def base_rate(self, targets: NDArray[Any]) -> BaseRate | None:
        """The variance of the targets over all known numbers: the best constants are the means."""
        import numpy as np

        known = ~np.isnan(targets)
        rows = known.sum(axis=0)
        means = np.nansum(targets, axis=0, dtype=np.float64) / np.maximum(rows, 1)
        errors = np.where(known, targets - means, 0.0) ** 2
        variance = float(errors.sum() / max(1, rows.sum()))
        # A Gaussian with variance v has the negative log-likelihood e / (2 v) + ln(2 pi v) / 2 at
        # the squared error e. The second part has no gradient, so e is worth e / (2 v) nats.
        return BaseRate(variance, nats=1 / (2 * variance) if variance > 0 else 1.0)

    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        import numpy as np

        return logits.astype(np.float64)

    def decode(
        self, probabilities: NDArray[Any], names: Sequence[str]
    ) -> list[list[tuple[str, float]]]:
        return [list(zip(names, map(float, row), strict=True)) for row in probabilities]

    def metrics(self, targets: NDArray[Any], probabilities: NDArray[Any]) -> Metrics:
        """The mean of each metric over dimensions (None unless all are defined), and each one."""
        rows = self.table(targets, probabilities, self.dimensions)
        metrics: Metrics = {}
        for name in ("pearson_r", "rmse"):
            values: list[Any] = [row[name] for row in rows]
            metrics[name] = None if None in values else sum(values) / len(values)
            if len(rows) > 1:
                for dimension, value in zip(self.dimensions, values, strict=True):
                    metrics[f"{name}_{dimension}"] = value
        return metrics

    def table(
        self, targets: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str]
    ) -> list[Row]:
        import numpy as np
        from scipy.stats import pearsonr

        rows: list[Row] = []
        for i, name in enumerate(names):
            known = ~np.isnan(targets[:, i])
            truth, predicted = targets[known, i].astype(np.float64), probabilities[known, i]
            varied = len(truth) > 1 and np.ptp(truth) > 0 and np.ptp(predicted) > 0
            rmse = float(np.sqrt(((truth - predicted) ** 2).mean())) if len(truth) else None
            r = float(pearsonr(truth, predicted).statistic) if varied else None
            rows.append({"label": name, "support": int(known.sum()), "pearson_r": r, "rmse": rmse})
        return rows


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # 10**400 is an integer that no float holds
        return False


def _number(value: Any) -> Any:
    """A number written as text as that number, empty text as None; anything else as it is."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return float(value)
    except ValueError:
        return value
