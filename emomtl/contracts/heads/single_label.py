"""Exactly one label a text: one softmax over the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types

from emomtl.contracts.heads.agreement import agreement, ordinal_agreement
from emomtl.contracts.heads.declaration import BaseRate, Head, Row
from emomtl.contracts.heads.label_facts import (
    LabelFacts,
    Weights,
    given_weights,
    label_weights,
    log_prior,
    weights_in_words,
)
from emomtl.contracts.heads.loss_options import not_fitted, settle_options
from emomtl.contracts.heads.losses import best_constant, smoothed, softmax_terms
from emomtl.contracts.heads.ranking import RANKED, macro_ranked, ranked
from emomtl.errors import EmomtlError, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from emomtl.contracts.taxonomy import Grouping, Taxonomy

MISSING = -100
"""The target of a row without label; torch's cross-entropy ignores it."""

RATES = ("precision", "recall", "f1")
AGREEMENT = ("matthews_correlation", "cohen_kappa")
LOG_LOSS = "log_loss"
ORDINAL = ("quadratic_weighted_kappa", "pearson_r")
SOFT = ("cross_entropy", "kl_divergence", "jensen_shannon")
"""Metrics of answered distributions against those of soft labels; less is better."""

LEAST_SHARE = 1e-12
"""The least probability of a label in `cross_entropy`: one that is answered with 0 would make it infinite."""


WHOLE = 0.01
"""By how much the shares of a row may miss 1; they are then divided by their sum."""


@dataclass(frozen=True)
class SingleLabel(Head):
    """Cross-entropy over the labels (mean over rows); the answer is the most probable label.

    Targets are int (B,), `MISSING` where the label is unknown. With `soft` they are distributions over the
    labels, float (B, L), NaN in rows that are unknown; metrics are then taken against the most probable label
    of each row, and three more compare the distributions.
    `ordinal` says that the labels stand in order, such as four intensities: kappa with quadratic weights and
    Pearson's correlation of their places are reported too.

    For rare labels: `label_weight` multiplies what a row of a label costs: `"balanced"` (1 over its rows),
    `"effective-number"` (Cui et al., 2019, with `beta`), or numbers by label, 1 for those that are not named; weights have
    a mean of 1 over the training rows, so only their ratios count. `logit_adjustment` is tau of Menon et al. (2021):
    tau times the log of each label's share is added to its logit in training. `criterion` is `"cross-entropy"` or
    `"focal"` (Lin et al., 2017, with `gamma`). For labels that are in doubt: `label_smoothing` spreads a part of each target
    evenly (Szegedy et al., 2016). None of them changes how probabilities, answers and metrics are computed.
    """

    kind: ClassVar[str] = "single-label"
    main_metric: ClassVar[str] = "macro_f1"
    errors: ClassVar[tuple[str, ...]] = (LOG_LOSS, *SOFT)
    headline: ClassVar[tuple[str, ...]] = ("macro_f1", "macro_average_precision", "top1_accuracy", "pearson_r")
    reported: ClassVar[tuple[str, ...]] = (
        *("top1_accuracy", "macro_f1", "weighted_f1", *AGREEMENT),
        *("macro_average_precision", "macro_auroc", LOG_LOSS, *ORDINAL),
    )
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        LOG_LOSS: (0.0, math.inf),
        **dict.fromkeys((*AGREEMENT, *ORDINAL), (-1.0, 1.0)),
        **dict.fromkeys(("macro_", "weighted_", "top1_accuracy", "jensen_shannon"), (0.0, 1.0)),
        **dict.fromkeys(("cross_entropy", "kl_divergence"), (0.0, math.inf)),
    }
    lr: Annotated[float, annotated_types.Gt(0)] | None = None
    dropout: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] = 0.1
    soft: bool = False
    ordinal: bool = False
    criterion: Literal["cross-entropy", "focal"] = "cross-entropy"
    gamma: Annotated[float, annotated_types.Ge(0), annotated_types.Le(20)] | None = None
    label_weight: Weights | None = None
    beta: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] | None = None
    label_smoothing: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] = 0.0
    logit_adjustment: Annotated[float, annotated_types.Gt(0), annotated_types.Le(10)] | None = None
    # of a fitted copy alone; no option, and so no field
    _facts: ClassVar[LabelFacts | None] = None

    def __post_init__(self) -> None:
        settle_options(self, "label_weight", SingleLabel)

    def check(self, taxonomy: Taxonomy | None) -> None:
        if taxonomy is not None and isinstance(self.label_weight, Mapping):
            given_weights(self.label_weight, taxonomy.names)
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

    @property
    def needs_rows(self) -> bool:
        return bool(self.label_weight or self.logit_adjustment)

    def fitted(self, targets: NDArray[Any], taxonomy: Taxonomy | None) -> Head:
        if not self.needs_rows and not self.label_smoothing:
            return self
        names, weights, tau = self.outputs(taxonomy), None, self.logit_adjustment
        rows = self._rows(targets, len(names))
        if self.label_weight:
            weights = label_weights(self.label_weight, self.beta, rows, names)
        learned = copy(self)
        offsets = log_prior(tau, rows) if tau is not None else None
        object.__setattr__(learned, "_facts", LabelFacts(weights, offsets, labels=len(names)))
        return learned

    def _rows(self, targets: NDArray[Any], labels: int) -> NDArray[np.float64]:
        """How many rows have each label (L,); of soft ones each row gives its shares."""
        import numpy as np

        known = targets[self.present(targets)]
        if known.ndim == 2:
            return np.asarray(known.sum(axis=0, dtype=np.float64))
        return np.bincount(known, minlength=labels).astype(np.float64)

    def loss_notes(self, taxonomy: Taxonomy | None) -> list[str]:
        if self._facts is None or self._facts.weights is None:
            return []
        return [weights_in_words("label_weight", self._facts.weights, self.outputs(taxonomy))]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        import torch
        from torch.nn import functional

        if self.gamma or self.label_smoothing or self.needs_rows:
            return self._reweighted(logits.float(), targets)
        if targets.ndim == 2:
            # Cross-entropy against a distribution p: -sum_l p_l log q_l, where q = softmax(logits). For a p
            # that is 1 at one label it is the loss below. Rows with NaN are unknown and count for nothing.
            known = ~torch.isnan(targets).any(dim=1)
            log_q = functional.log_softmax(logits.float(), dim=1)
            each = -(torch.nan_to_num(targets) * log_q).sum(dim=1)
            return (each * known).sum() / known.sum().clamp(min=1)
        total = functional.cross_entropy(logits.float(), targets, ignore_index=MISSING, reduction="sum")
        return total / (targets != MISSING).sum().clamp(min=1)

    def _reweighted(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over rows of sum_c w_c y_c l_c(z + o), with the target's shares y, weights w and offsets o.

        It is what torch's cross-entropy computes of `weight` and `label_smoothing`, but divided by the
        number of rows, not by the sum of their weights: the mean of the weights over all training rows is 1
        already, and a batch with one rare row must not make that row count like any other.
        """
        import torch
        from torch.nn import functional

        if self.needs_rows and self._facts is None:
            raise not_fitted(self)
        if targets.ndim == 2:
            known = ~torch.isnan(targets).any(dim=1)
            shares = torch.nan_to_num(targets)
        else:
            known = targets != MISSING
            shares = functional.one_hot(targets.clamp(min=0), logits.shape[1]).float()
        facts = self._facts or LabelFacts()
        offsets, weights = facts.on("offsets", logits.device), facts.on("weights", logits.device)
        terms = softmax_terms(logits if offsets is None else logits + offsets, self.gamma or 0.0)
        counted = smoothed(shares, self.label_smoothing, logits.shape[1])
        each = ((counted if weights is None else weights * counted) * terms).sum(dim=1)
        total: Tensor = (each * known).sum()
        return total / known.sum().clamp(min=1)

    def base_rate(self, targets: NDArray[Any]) -> BaseRate | None:
        """What the best constant distribution costs on the labelled rows.

        Under the cross-entropy that is the entropy of the labels' frequencies q, H(q) = -sum_c q_c ln q_c, of
        smoothed ones where they are smoothed. Weights and focal loss have another best constant. An offset
        of the logits has no part in it: a constant can undo it.
        """
        from scipy.special import entr

        if (self.needs_rows or self.label_smoothing) and self._facts is None:
            raise not_fitted(self)
        facts = self._facts or LabelFacts()
        weights = facts.weights
        rows = self._rows(targets, facts.labels)
        counts = smoothed(rows / max(1.0, rows.sum()), self.label_smoothing, len(rows))
        entropy = float(entr(counts).sum())
        if not self.gamma and weights is None:
            return BaseRate(entropy)
        loss = best_constant(counts if weights is None else weights * counts, self.gamma or 0.0)
        return BaseRate(loss, nats=entropy / loss if loss > 0 else 1.0)

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
            more = (*(ORDINAL if self.ordinal else ()), *(SOFT if targets.ndim == 2 else ()))
            of_order = [f"macro_{name}" for name in RANKED]
            return dict.fromkeys(["top1_accuracy", *names, *AGREEMENT, *more, *of_order, LOG_LOSS])
        found = self._of_decisions(truth, decided, probabilities.shape[1])
        found |= _of_distributions(targets[known], probabilities[known]) if targets.ndim == 2 else {}
        found |= macro_ranked((truth == label, probabilities[known, label]) for label in range(probabilities.shape[1]))
        return found | {LOG_LOSS: _log_loss(truth, probabilities[known])}

    def metric(self, name: str, targets: NDArray[Any], probabilities: NDArray[Any]) -> float | None:
        known = self.present(targets)
        by_decisions = not name.endswith((*RANKED, *SOFT))
        if type(self).metrics is not SingleLabel.metrics or not by_decisions or not known.any():
            return super().metric(name, targets, probabilities)
        if name == LOG_LOSS:
            return _log_loss(_most(targets[known]), probabilities[known])
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


def _log_loss(truth: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """The mean of -log p(true label), in nats, as scikit-learn's `log_loss`: 0 is taken as the least step above it."""
    import numpy as np

    of_truth = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.clip(of_truth, np.finfo(np.float64).eps, 1.0)).mean())


def _most(targets: NDArray[Any]) -> NDArray[Any]:
    """The position of each row's label (n,); of a soft one, that with the largest share, the first of several."""
    return targets.argmax(axis=1) if targets.ndim == 2 else targets


def _of_distributions(shares: NDArray[Any], answered: NDArray[Any]) -> dict[str, float | None]:
    """How far answered distributions q are from those of the labels p, (n, L) each: means over rows.

    Cross-entropy -sum p ln q and the divergence of Kullback and Leibler, which is it less the entropy of
    p (what no model can be below), in nats; the divergence of Jensen and Shannon (Lin, 1991) in bits, so
    that it lies in 0..1: (KL(p, m) + KL(q, m)) / 2 with m = (p + q) / 2. Cross-entropy is the soft metric
    of Uma et al. (2021, "Learning from disagreement").
    """
    import numpy as np
    from scipy.special import entr, rel_entr

    p, q = shares.astype(np.float64), answered.astype(np.float64)
    cross = -(p * np.log(np.maximum(q, LEAST_SHARE))).sum(axis=1)
    middle = (p + q) / 2
    between = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / (2 * math.log(2))
    means = (cross, cross - entr(p).sum(axis=1), np.clip(between, 0.0, 1.0))
    return {name: float(values.mean()) for name, values in zip(SOFT, means, strict=True)}


def _share(name: str, value: Any) -> float:
    """The share of a label in 0..1; none is 0."""
    try:
        number = 0.0 if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 <= number <= 1 + WHOLE:
        raise EmomtlError(f"label {quoted(name)} has the share {quoted(value)}", remedy="0..1, or votes in whole numbers")
    return number
