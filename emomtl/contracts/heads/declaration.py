"""What a head is: labels to targets, pooled vectors to logits, a loss, probabilities, decisions and metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from emomtl.contracts.heads.metric_facts import MOST_HEADLINE, MOST_REPORTED, first_metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from emomtl.contracts.taxonomy import Grouping, Taxonomy

Row = Mapping[str, "str | float | int | None"]
"""A row of a per-label table: the label's name and its figures; None where a figure is undefined."""


@dataclass(frozen=True)
class BaseRate:
    """What the best constant answer scores on a task's training rows, as `Head.loss` measures it.

    `loss` is its mean loss over the known targets: what there is to explain. `nats` is what one unit of
    the head's loss is worth in nats (1 for a cross-entropy, which is a negative log-likelihood already). A
    loss that is no likelihood, such as a weighted or a focal one, says the number that makes its best
    constant answer worth as many nats as under the cross-entropy: so the task keeps its place among others.
    """

    loss: float
    nats: float = 1.0


class Head(ABC):
    """How a task answers; a frozen dataclass whose fields are the options of `[tasks.x.head]`.

    Shapes: B examples, L outputs, W the encoder's width. Targets are one array per task with B as first axis.
    """

    kind: ClassVar[str]
    main_metric: ClassVar[str]
    answers: ClassVar[Literal["labels", "numbers", "nothing"]] = "labels"
    """What a text is answered with: names of a taxonomy, numbers, or nothing that a user could read."""
    errors: ClassVar[tuple[str, ...]] = ()
    """How the names of figures begin of which less is better."""
    headline: ClassVar[tuple[str, ...]] = ()
    """The metrics of a short table, such as the one after training, in order; left empty, the main one and a few more."""
    reported: ClassVar[tuple[str, ...]] = ()
    """The metrics of a report's table, in order; left empty, the first twelve."""
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """What metrics can be, by how their names begin: intervals end there. Others have no bounds."""
    by_thresholds: ClassVar[bool] = False
    """Whether a label is answered where its probability reaches a threshold. Then thresholds are tuned on
    validation: targets are (n, L), NaN where unknown, and `decision_metrics` gives the metrics of decisions."""
    lr: float | None
    dropout: float

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    def less_is_better(self, metric: str) -> bool:
        """Whether a figure of this head, or the same on a grouping, is an error."""
        return metric.rpartition("/")[2].startswith(self.errors)

    def headline_metrics(self, metrics: Sequence[str]) -> list[str]:
        """Of these metrics, by their names, those of a short table, in order; the main one is always among them."""
        first = [self.main_metric, *first_metrics(metrics, MOST_HEADLINE - 1)]
        shown = [*self.headline, self.main_metric] if self.headline else first
        return [name for name in dict.fromkeys(shown) if name in metrics]

    def reported_metrics(self, metrics: Sequence[str]) -> list[str]:
        """Of these metrics, by their names, those of a report's table, in order; the main one is always among them."""
        shown = [*(self.reported or first_metrics(metrics, MOST_REPORTED)), self.main_metric]
        return [name for name in dict.fromkeys(shown) if name in metrics]

    def skill(self, metrics: Mapping[str, float | None]) -> float | None:
        """What the main metric counts in a mean over tasks: at most 1, which is perfect, and more is better; None: undefined.

        It is the metric as it is, and 1 / (1 + e) for an error e. A head whose main metric lies elsewhere overrides it.
        """
        value = metrics.get(self.main_metric)
        if value is None or not self.less_is_better(self.main_metric):
            return value
        # An error below 0 (such as a log-loss of a density) goes on with the slope that 1 / (1 + e) has at 0.
        return 1 / (1 + value) if value >= 0 else 1 - value

    def bounds(self, metric: str) -> tuple[float, float]:
        """The least and the most that a metric of this head, or the same on a grouping, can be."""
        name = metric.rpartition("/")[2]
        known = (ends for start, ends in self.ranges.items() if name.startswith(start))
        return next(known, (-math.inf, math.inf))

    def check(self, taxonomy: Taxonomy | None) -> None:
        """Raise `EmomtlError` where head and taxonomy do not go together."""

    def outputs(self, taxonomy: Taxonomy | None) -> tuple[str, ...]:
        """The names of the L outputs, in order; labels by default."""
        return taxonomy.names if taxonomy is not None else ()

    @abstractmethod
    def encode(self, label: Any, taxonomy: Taxonomy | None) -> int | NDArray[np.float32]:
        """The target of one row: an int or an array of L; `None` gives the missing target, which costs no loss."""

    @abstractmethod
    def present(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """For each row (B,), whether anything of its target is known."""

    def known(self, targets: NDArray[Any]) -> NDArray[Any]:
        """How much each row counts in the mean that `loss` is, (B,): its known targets, 0 where it has none.

        A step is trained in pieces (micro-batches, processes), and the loss of each is weighted by the
        sum of these numbers, so that the step's loss is the same mean however it is cut. By default a
        row with anything known counts 1. A head whose loss is the mean over labels, dimensions or
        tokens gives their number; one that weights its targets gives the sum of their weights.
        """
        import numpy as np

        return self.present(targets).astype(np.int64)

    def build(self, width: int, taxonomy: Taxonomy | None) -> nn.Module:
        """The trainable module, (B, W) -> (B, L): dropout, then one linear layer."""
        from torch import nn

        return nn.Sequential(nn.Dropout(self.dropout), nn.Linear(width, len(self.outputs(taxonomy))))

    @property
    def needs_rows(self) -> bool:
        """Whether `loss` takes something from the training rows, so that the head has to be `fitted` first."""
        return False

    def fitted(self, targets: NDArray[Any], taxonomy: Taxonomy | None) -> Head:
        """The head with what its loss takes from these training targets, such as label counts; by default as it is.

        A run calls it when it starts and when it is resumed. What it learns here must be no part of
        probabilities or answers: `eval` and `predict` see no training rows. `EmomtlError` where it cannot.
        """
        return self

    def loss_notes(self, taxonomy: Taxonomy | None) -> list[str]:
        """What a user has to know of the loss, such as the weights of labels; nothing by default."""
        return []

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss over the known targets, a scalar; zero where none is known. Must not wait for the device.

        It is the mean over what `known` counts.
        """

    def base_rate(self, targets: NDArray[Any]) -> BaseRate | None:
        """The best constant answer to these targets; None where the head cannot say.

        `train.loss_scale` divides or multiplies by it. A head that does not say is trained on its
        mean loss as it is, under every scale. Over tokens, `targets` are all words of the rows (n,).
        """
        return None

    @abstractmethod
    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """From logits (B, L) to what is reported: probabilities (B, L), or the values of a regression."""

    @abstractmethod
    def decode(self, probabilities: NDArray[Any], names: Sequence[str]) -> list[list[tuple[str, float]]]:
        """For each row the outputs that are answered, best first, with their probability."""

    @abstractmethod
    def metrics(self, targets: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, float | None]:
        """Figures by their full names; None where a figure is undefined (no positives, constant values)."""

    def decided(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The targets (n, ...) as metrics and comparisons take them; as they are by default."""
        return targets

    def remarks(self, targets: NDArray[Any]) -> list[str]:
        """What a reader of the metrics has to know about the targets (n, ...); nothing by default."""
        return []

    def metric(self, name: str, targets: NDArray[Any], probabilities: NDArray[Any]) -> float | None:
        """One of the metrics, for what computes it a thousand times (intervals); a head may do so without the others."""
        return self.metrics(targets, probabilities).get(name)

    def decision_metrics(self, targets: NDArray[Any], decisions: NDArray[Any]) -> dict[str, float | None]:
        """The metrics of decisions (n, L), 1 where a label is answered, else 0; for a head `by_thresholds`."""
        return {}

    @abstractmethod
    def table(self, targets: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str]) -> list[Row]:
        """One row of figures for each output."""

    def fold(
        self, targets: NDArray[Any], probabilities: NDArray[Any], grouping: Grouping, taxonomy: Taxonomy
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Targets and probabilities on a coarser grouping of the labels; heads without labels refuse."""
        raise TypeError(f"a {self.kind} head has no groupings")
