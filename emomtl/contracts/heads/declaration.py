"""What a head is: from labels to targets, from pooled vectors to logits, a loss, and metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from emomtl.contracts.taxonomy import Grouping, Taxonomy

MOST_HEADLINE, MOST_REPORTED = 4, 12
"""How many metrics a short table and a report show of a head that does not say which."""

Metrics = dict[str, "float | None"]
"""Metrics by full name; None where one is undefined (no positives, constant values)."""

Row = Mapping[str, "str | float | int | None"]
"""A row of a per-label table: the label's name and its metrics; None where one is undefined."""


@dataclass(frozen=True)
class BaseRate:
    """What the best constant answer scores on a task's training rows, as `Head.loss` measures it.

    `loss` is its mean loss over the known targets: what there is to explain. `nats` is what one
    unit of the head's loss is worth in nats: 1 for a cross-entropy, which is a negative
    log-likelihood. A loss that is no likelihood, such as a weighted or a focal one, gives the
    number that makes its best constant answer worth as many nats as under the cross-entropy, so the
    task keeps its size beside others.
    """

    loss: float
    nats: float = 1.0


class Head(ABC):
    """How a task answers; a frozen dataclass whose fields are the options of `[tasks.x.head]`.

    Shapes: B examples, L outputs, W the encoder's width. Targets are one array for a task, with B
    as the first axis.
    """

    kind: ClassVar[str]
    main_metric: ClassVar[str]
    answers: ClassVar[Literal["labels", "numbers", "nothing"]] = "labels"
    """What a text is answered with: names of a taxonomy, numbers, or nothing for a user to read."""
    errors: ClassVar[tuple[str, ...]] = ()
    """How the names of metrics begin of which less is better."""
    headline: ClassVar[tuple[str, ...]] = ()
    """The metrics of a short table, such as the one after training, in order; left empty, the main
    one and a few more."""
    reported: ClassVar[tuple[str, ...]] = ()
    """The metrics of a report's table, in order; left empty, the first twelve."""
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """The bounds of metrics, by how their names begin: intervals end there. Others have none."""
    by_thresholds: ClassVar[bool] = False
    """Whether a label is answered where its probability reaches a threshold. Then thresholds are
    tuned on validation: targets are (n, L), NaN where unknown, and `decision_metrics` gives the
    metrics of decisions."""
    lr: float | None
    dropout: float

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    # -- facts about metrics -----------------------------------------------------------------------

    def less_is_better(self, metric: str) -> bool:
        """Whether a metric of this head, or the same on a grouping, is an error."""
        return metric.rpartition("/")[2].startswith(self.errors)

    def headline_metrics(self, metrics: Sequence[str]) -> list[str]:
        """The names among `metrics` for a short table, in order, with the main metric."""
        shown = [*self.headline, self.main_metric]
        if not self.headline:
            shown = [self.main_metric, *without_groupings(metrics)[: MOST_HEADLINE - 1]]
        return [name for name in dict.fromkeys(shown) if name in metrics]

    def reported_metrics(self, metrics: Sequence[str]) -> list[str]:
        """The names among `metrics` for a report's table, in order, with the main metric."""
        reported = self.reported or without_groupings(metrics)[:MOST_REPORTED]
        shown = [*reported, self.main_metric]
        return [name for name in dict.fromkeys(shown) if name in metrics]

    def skill(self, metrics: Mapping[str, float | None]) -> float | None:
        """What the main metric counts in a mean over tasks; more is better, and 1 is perfect.

        It is the metric as it is, and 1 / (1 + e) for an error e; None where it is undefined. A
        head whose main metric has another range overrides it.
        """
        value = metrics.get(self.main_metric)
        if value is None or not self.less_is_better(self.main_metric):
            return value
        # An error below 0, such as a log-loss of a density, continues 1 / (1 + e) with its slope
        # at 0.
        return 1 / (1 + value) if value >= 0 else 1 - value

    def bounds(self, metric: str) -> tuple[float, float]:
        """The least and the most that a metric of this head, or the same on a grouping, can be."""
        name = metric.rpartition("/")[2]
        for start, bounds in self.ranges.items():
            if name.startswith(start):
                return bounds
        return (-math.inf, math.inf)

    # -- labels and targets ------------------------------------------------------------------------

    def check(self, taxonomy: Taxonomy | None) -> None:
        """Raise `EmomtlError` where head and taxonomy do not go together."""

    def outputs(self, taxonomy: Taxonomy | None) -> tuple[str, ...]:
        """The names of the L outputs, in order; labels by default."""
        return taxonomy.names if taxonomy is not None else ()

    @abstractmethod
    def encode(self, label: Any, taxonomy: Taxonomy | None) -> int | NDArray[np.float32]:
        """The target of one row, an int or an array of L; for None the missing target, without
        loss.
        """

    @abstractmethod
    def present(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """For each row (B,), whether anything of its target is known."""

    def known(self, targets: NDArray[Any]) -> NDArray[Any]:
        """How much each row counts in the mean that `loss` is, (B,): its known targets, or 0.

        A step is trained in pieces (micro-batches, processes), and the loss of each is weighted by
        the sum of these numbers, so that the step's loss is the same mean however it is cut. By
        default a row with anything known counts 1. A head whose loss is the mean over labels,
        dimensions or tokens gives their number; one that weights its targets gives the sum of their
        weights.
        """
        import numpy as np

        return self.present(targets).astype(np.int64)

    # -- training ----------------------------------------------------------------------------------

    def build(self, width: int, taxonomy: Taxonomy | None) -> nn.Module:
        """The trainable module, (B, W) -> (B, L): dropout, then one linear layer."""
        from torch import nn

        linear = nn.Linear(width, len(self.outputs(taxonomy)))
        return nn.Sequential(nn.Dropout(self.dropout), linear)

    @property
    def needs_rows(self) -> bool:
        """Whether `loss` depends on the training rows, so that the head must be `fitted` first."""
        return False

    def fitted(self, targets: NDArray[Any], taxonomy: Taxonomy | None) -> Head:
        """The head with what its loss takes from these training targets, such as label counts.

        By default the head as it is. A run calls it when it starts and when it is resumed.
        Probabilities and answers must not depend on it: `eval` and `predict` see no training rows.
        Raise `EmomtlError` where it cannot.
        """
        return self

    def loss_notes(self, taxonomy: Taxonomy | None) -> list[str]:
        """What a user should know of the loss, such as the weights of labels."""
        return []

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss over what `known` counts, a scalar; 0 where nothing is known.

        It must not wait for the device.
        """

    def base_rate(self, targets: NDArray[Any]) -> BaseRate | None:
        """The best constant answer to these targets; None where the head cannot say.

        `train.loss_scale` divides or multiplies by it. A head that does not say is trained on its
        mean loss as it is, under every scale. Over tokens, `targets` are all words of the rows
        (n,).
        """
        return None

    # -- predictions -------------------------------------------------------------------------------

    @abstractmethod
    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """From logits (B, L) to what is reported: probabilities, or the values of a regression."""

    @abstractmethod
    def decode(
        self, probabilities: NDArray[Any], names: Sequence[str]
    ) -> list[list[tuple[str, float]]]:
        """For each row the outputs that it is answered with, best first, with their probability."""

    @abstractmethod
    def metrics(self, targets: NDArray[Any], probabilities: NDArray[Any]) -> Metrics:
        """All metrics of the head."""

    def decided(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The targets (n, ...) as metrics and comparisons take them; as they are by default."""
        return targets

    def remarks(self, targets: NDArray[Any]) -> list[str]:
        """What a reader of the metrics should know about the targets (n, ...)."""
        return []

    def metric(self, name: str, targets: NDArray[Any], probabilities: NDArray[Any]) -> float | None:
        """One of the metrics. Intervals ask for it a thousand times, so a head may compute less."""
        return self.metrics(targets, probabilities).get(name)

    def metric_on_samples(
        self, name: str, targets: NDArray[Any], probabilities: NDArray[Any], samples: NDArray[Any]
    ) -> NDArray[np.float64]:
        """The metric on bootstrap samples of row numbers (B, n), as (B,); NaN where it is
        undefined.

        A head may compute all samples at once.
        """
        import numpy as np

        values = [self.metric(name, targets[rows], probabilities[rows]) for rows in samples]
        return np.array([math.nan if value is None else value for value in values])

    def decision_metrics(self, targets: NDArray[Any], decisions: NDArray[Any]) -> Metrics:
        """The metrics of decisions (n, L), 1 for a label that is answered, of `by_thresholds`."""
        return {}

    @abstractmethod
    def table(
        self, targets: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str]
    ) -> list[Row]:
        """One row of metrics for each output."""

    def fold(
        self,
        targets: NDArray[Any],
        probabilities: NDArray[Any],
        grouping: Grouping,
        taxonomy: Taxonomy,
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Targets and probabilities on a coarser grouping of the labels."""
        raise TypeError(f"a {self.kind} head has no groupings")


def without_groupings(metrics: Sequence[str]) -> list[str]:
    """The metrics of the labels themselves; those on groupings have a `/` in their names."""
    return [name for name in metrics if "/" not in name]
