"""Exactly one label a text: one softmax over the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import annotated_types

from emomtl.errors import EmomtlError, quoted
from emomtl.heads.agreement import agreement, ordinal_agreement
from emomtl.heads.declaration import BaseRate, Head, Row
from emomtl.heads.ranking import RANKED, macro_ranked, ranked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from emomtl.taxonomy import Grouping, Taxonomy

MISSING = -100
"""The target of a row without label; torch's cross-entropy ignores it."""

RATES = ("precision", "recall", "f1")
AGREEMENT = ("matthews_correlation", "cohen_kappa")
ORDINAL = ("quadratic_weighted_kappa", "pearson_r")

WHOLE = 0.01
"""By how much the shares of a row may miss 1; they are then divided by their sum."""


@dataclass(frozen=True)
class SingleLabel(Head):
    """Cross-entropy over the labels (mean over rows); the answer is the most probable label.

    Targets are int (B,), `MISSING` where the label is unknown. With `soft` they are distributions over the
    labels, float (B, L), NaN in rows that are unknown; metrics are then taken against the most probable label
    of each row.
    `ordinal` says that the labels stand in order, such as four intensities: kappa with quadratic weights and
    Pearson's correlation of their places are reported too.
    """

    kind: ClassVar[str] = "single-label"
    main_metric: ClassVar[str] = "macro_f1"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        **dict.fromkeys((*AGREEMENT, *ORDINAL), (-1.0, 1.0)),
        **dict.fromkeys(("macro_", "weighted_", "top1_accuracy"), (0.0, 1.0)),
    }
    lr: Annotated[float, annotated_types.Gt(0)] | None = None
    dropout: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] = 0.1
    soft: bool = False
    ordinal: bool = False

    def check(self, taxonomy: Taxonomy | None) -> None:
        if not self.ordinal:
            return
        if taxonomy is None:
            raise EmomtlError("`ordinal` needs the labels in their order", remedy="options.labels, from the least to the most")
        for grouping in taxonomy.groupings:
            places = [grouping.names.index(grouping.parents[name]) for name in taxonomy.names]
            if places != sorted(places):
                found = f"the grouping '{grouping.name}' does not keep the order of the labels, which `ordinal` needs"
                raise EmomtlError(found, remedy="group neighbours, in order, or leave `ordinal` out")

    def encode(self, label: Any, taxonomy: Taxonomy | None) -> int | NDArray[np.float32]:
        assert taxonomy is not None
        if self.soft:
            return self._distribution(label, taxonomy)
        if label is None:
            return MISSING
        if isinstance(label, Mapping):
            remedy = '`options.label_format = "distribution"` of a table, or `soft = true` in the task\'s head'
            raise EmomtlError("shares of several labels are a soft label", remedy=remedy)
        return self._position(label, taxonomy)

    def _position(self, label: Any, taxonomy: Taxonomy) -> int:
        if not isinstance(label, str):
            if not isinstance(label, Sequence) or len(label) != 1:
                remedy = 'a "single-label" head takes one label a row; several need "multi-label"'
                raise EmomtlError(f"label {quoted(label)} is not one name", remedy=remedy)
            label = label[0]
        return taxonomy.index(label)

    def _distribution(self, label: Any, taxonomy: Taxonomy) -> NDArray[np.float32]:
        """The shares of the labels, with a sum of 1; a label that is not named has none."""
        import numpy as np

        if label is None:
            return np.full(len(taxonomy), np.nan, np.float32)
        row = np.zeros(len(taxonomy), np.float64)
        if not isinstance(label, Mapping):
            row[self._position(label, taxonomy)] = 1.0
            return row.astype(np.float32)
        for name, value in label.items():
            row[taxonomy.index(name)] = _share(name, value)
        total = math.fsum(row)
        if abs(total - 1) > WHOLE:
            found = f"the shares of the labels have a sum of {total:.3g}, not of 1"
            raise EmomtlError(found, remedy="give the share of every label; votes are whole numbers")
        return (row / total).astype(np.float32)

    def present(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        import numpy as np

        if targets.ndim == 2:
            return np.asarray(~np.isnan(targets).any(axis=1))
        return np.asarray(targets != MISSING)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        import torch
        from torch.nn import functional

        if targets.ndim == 2:
            # Cross-entropy against a distribution p: -sum_l p_l log q_l, where q = softmax(logits). For a p
            # that is 1 at one label it is the loss below. Rows with NaN are unknown and count for nothing.
            known = ~torch.isnan(targets).any(dim=1)
            log_q = functional.log_softmax(logits.float(), dim=1)
            each = -(torch.nan_to_num(targets) * log_q).sum(dim=1)
            return (each * known).sum() / known.sum().clamp(min=1)
        total = functional.cross_entropy(logits.float(), targets, ignore_index=MISSING, reduction="sum")
        return total / (targets != MISSING).sum().clamp(min=1)

    def base_rate(self, targets: NDArray[Any]) -> BaseRate | None:
        """The entropy of the labels' frequencies q over the labelled rows: H(q) = -sum_c q_c ln q_c."""
        import numpy as np
        from scipy.special import entr

        known = targets[self.present(targets)]
        # of soft labels each row gives its shares, as a cross-entropy is linear in them
        counts = known.sum(axis=0, dtype=np.float64) if known.ndim == 2 else np.bincount(known).astype(np.float64)
        return BaseRate(float(entr(counts / max(1.0, counts.sum())).sum()))

    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        import numpy as np
        from scipy.special import softmax

        return np.asarray(softmax(logits.astype(np.float64), axis=1))

    def decode(self, probabilities: NDArray[Any], names: Sequence[str]) -> list[list[tuple[str, float]]]:
        return [[(names[int(row.argmax())], float(row.max()))] for row in probabilities]

    def decided(self, targets: NDArray[Any]) -> NDArray[Any]:
        """One label a row: of a soft one, that with the largest share."""
        import numpy as np

        return np.where(self.present(targets), _most(targets), MISSING) if targets.ndim == 2 else targets

    def remarks(self, targets: NDArray[Any]) -> list[str]:
        if targets.ndim != 2 or not len(targets):
            return []
        known = targets[self.present(targets)]
        most = known.max(axis=1, keepdims=True) if len(known) else known
        ties = int(((known == most).sum(axis=1) > 1).sum())
        said = ["soft labels: metrics are taken against the label with the largest share"]
        return said + ([f"{ties:,} row(s) have several such labels; the first one counts"] if ties else [])

    def metrics(self, targets: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, float | None]:
        known = self.present(targets)
        truth, decided = _most(targets[known]), probabilities[known].argmax(axis=1)
        names = [f"{mean}_{rate}" for mean in ("macro", "weighted") for rate in RATES]
        if not len(truth):
            ordered = ORDINAL if self.ordinal else ()
            return dict.fromkeys(["top1_accuracy", *names, *AGREEMENT, *ordered, *(f"macro_{name}" for name in RANKED)])
        found = self._of_decisions(truth, decided, probabilities.shape[1])
        return found | macro_ranked((truth == label, probabilities[known, label]) for label in range(probabilities.shape[1]))

    def metric(self, name: str, targets: NDArray[Any], probabilities: NDArray[Any]) -> float | None:
        known = self.present(targets)
        if type(self).metrics is not SingleLabel.metrics or name.endswith(RANKED) or not known.any():
            return super().metric(name, targets, probabilities)
        return self._of_decisions(_most(targets[known]), probabilities[known].argmax(axis=1), probabilities.shape[1]).get(name)

    def _of_decisions(self, truth: NDArray[Any], decided: NDArray[Any], labels: int) -> dict[str, float | None]:
        """The metrics of one decision a row, of at least one row."""
        from sklearn.metrics import accuracy_score, precision_recall_fscore_support

        found: dict[str, float | None] = {"top1_accuracy": float(accuracy_score(truth, decided))}
        for mean in ("macro", "weighted"):
            rates = precision_recall_fscore_support(truth, decided, average=mean, zero_division=0)[:3]
            found |= {f"{mean}_{rate}": float(value) for rate, value in zip(RATES, rates, strict=True)}
        found |= agreement(truth, decided, labels)
        return found | (ordinal_agreement(truth, decided) if self.ordinal else {})

    def table(self, targets: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str]) -> list[Row]:
        import numpy as np
        from sklearn.metrics import precision_recall_fscore_support

        known = self.present(targets)
        truth, decided = _most(targets[known]), probabilities[known].argmax(axis=1)
        if not len(truth):
            return [{"label": name, "support": 0, "predicted": 0, **dict.fromkeys((*RATES, *RANKED))} for name in names]
        predicted = np.bincount(decided, minlength=len(names))
        rates = precision_recall_fscore_support(truth, decided, labels=range(len(names)), average=None, zero_division=0)
        rows: list[Row] = []
        for i, name in enumerate(names):
            defined = rates[3][i] > 0 or predicted[i] > 0
            figures = {key: float(rates[k][i]) if defined else None for k, key in enumerate(RATES)}
            figures |= dict(zip(RANKED, ranked(truth == i, probabilities[known, i]), strict=True))
            rows.append({"label": name, "support": int(rates[3][i]), "predicted": int(predicted[i]), **figures})
        return rows

    def fold(
        self, targets: NDArray[Any], probabilities: NDArray[Any], grouping: Grouping, taxonomy: Taxonomy
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The label's parent, and the sum of its members' probabilities."""
        import numpy as np

        coarse = np.zeros((len(probabilities), len(grouping.names)))
        parent = np.array([grouping.names.index(grouping.parents[name]) for name in taxonomy.names])
        for column, place in enumerate(parent):
            coarse[:, place] += probabilities[:, column]
        if targets.ndim == 2:
            shares = np.zeros((len(targets), len(grouping.names)))
            for column, place in enumerate(parent):
                shares[:, place] += targets[:, column]
            return shares, coarse
        return np.where(self.present(targets), parent[np.clip(targets, 0, None)], MISSING), coarse


def _most(targets: NDArray[Any]) -> NDArray[Any]:
    """The position of each row's label (n,); of a soft one, that with the largest share, the first of several."""
    return targets.argmax(axis=1) if targets.ndim == 2 else targets


def _share(name: str, value: Any) -> float:
    """The share of a label in 0..1; none is 0."""
    try:
        number = 0.0 if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 <= number <= 1 + WHOLE:
        raise EmomtlError(f"label {quoted(name)} has the share {quoted(value)}", remedy="0..1, or votes in whole numbers")
    return number
