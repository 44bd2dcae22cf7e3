"""Exactly one label a text: one softmax over the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import annotated_types

from emomtl.errors import EmomtlError, quoted
from emomtl.heads.declaration import Head, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from emomtl.taxonomy import Grouping, Taxonomy

MISSING = -100
"""The target of a row without label; torch's cross-entropy ignores it."""

RATES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class SingleLabel(Head):
    """Cross-entropy over the labels (mean over rows); the answer is the most probable label.

    Targets are int (B,), `MISSING` where the label is unknown.
    """

    kind: ClassVar[str] = "single-label"
    main_metric: ClassVar[str] = "macro_f1"
    lr: Annotated[float, annotated_types.Gt(0)] | None = None
    dropout: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] = 0.1

    def encode(self, label: Any, taxonomy: Taxonomy | None) -> int:
        assert taxonomy is not None
        if label is None:
            return MISSING
        if not isinstance(label, str):
            if not isinstance(label, Sequence) or len(label) != 1:
                remedy = 'a "single-label" head takes one label a row; several need "multi-label"'
                raise EmomtlError(f"label {quoted(label)} is not one name", remedy=remedy)
            label = label[0]
        return taxonomy.index(label)

    def present(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        import numpy as np

        return np.asarray(targets != MISSING)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        from torch.nn import functional

        total = functional.cross_entropy(logits.float(), targets, ignore_index=MISSING, reduction="sum")
        return total / (targets != MISSING).sum().clamp(min=1)

    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        import numpy as np
        from scipy.special import softmax

        return np.asarray(softmax(logits.astype(np.float64), axis=1))

    def decode(self, probabilities: NDArray[Any], names: Sequence[str]) -> list[list[tuple[str, float]]]:
        return [[(names[int(row.argmax())], float(row.max()))] for row in probabilities]

    def metrics(self, targets: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, float | None]:
        from sklearn.metrics import accuracy_score, precision_recall_fscore_support

        known = self.present(targets)
        truth, decided = targets[known], probabilities[known].argmax(axis=1)
        names = [f"{mean}_{rate}" for mean in ("macro", "weighted") for rate in RATES]
        if not len(truth):
            return dict.fromkeys(["top1_accuracy", *names])
        found: dict[str, float | None] = {"top1_accuracy": float(accuracy_score(truth, decided))}
        for mean in ("macro", "weighted"):
            rates = precision_recall_fscore_support(truth, decided, average=mean, zero_division=0)[:3]
            found |= {f"{mean}_{rate}": float(value) for rate, value in zip(RATES, rates, strict=True)}
        return found

    def table(self, targets: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str]) -> list[Row]:
        import numpy as np
        from sklearn.metrics import precision_recall_fscore_support

        known = self.present(targets)
        truth, decided = targets[known], probabilities[known].argmax(axis=1)
        if not len(truth):
            return [{"label": name, "support": 0, "predicted": 0, **dict.fromkeys(RATES)} for name in names]
        predicted = np.bincount(decided, minlength=len(names))
        rates = precision_recall_fscore_support(truth, decided, labels=range(len(names)), average=None, zero_division=0)
        rows: list[Row] = []
        for i, name in enumerate(names):
            defined = rates[3][i] > 0 or predicted[i] > 0
            figures = {key: float(rates[k][i]) if defined else None for k, key in enumerate(RATES)}
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
        return np.where(self.present(targets), parent[np.clip(targets, 0, None)], MISSING), coarse
