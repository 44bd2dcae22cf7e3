"""Exactly one label a text: one softmax over the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types

from emomtl.contracts.heads.agreement import agreement, ordinal_agreement
from emomtl.contracts.heads.declaration import BaseRate, Head, Metrics, Row
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
from emomtl.contracts.heads.resampling import MACRO_RATES, macro_rates
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
"""Metrics of predicted distributions against those of soft labels; less is better."""

LEAST_SHARE = 1e-12
"""The least probability of a label in `cross_entropy`, which would be infinite for 0."""

TOLERANCE = 0.01
"""By how much the shares of a row may miss 1; they are then divided by their sum."""


@dataclass(frozen=True)
class SingleLabel(Head):
    """Cross-entropy over the labels (mean over rows); the answer is the most probable label.

    Targets are int (B,), `MISSING` where the label is unknown. With `soft` they are distributions
    over the labels, float (B, L), NaN in rows that are unknown; metrics are then taken against the
    most probable label of each row, and three more compare the distributions. `ordinal` says that
    the labels stand in order, such as four intensities: kappa with quadratic weights and Pearson's
    correlation of their positions are reported too.

    For rare labels: `label_weight` multiplies the loss of a row by its label: `"balanced"` (1 over
    its rows), `"effective-number"` (Cui et al., 2019, with `beta`), or numbers by label, 1 for
    those that are not named. Weights have a mean of 1 over the training rows, so only their ratios
    count. `logit_adjustment` is tau of Menon et al. (2021): tau times the log of each label's share
    is added to its logit in training. `criterion` is `"cross-entropy"` or `"focal"` (Lin et al.,
    2017, with `gamma`). For labels in doubt: `label_smoothing` spreads a part of each target evenly
    (Szegedy et al., 2016). None of them changes how probabilities, answers and metrics are
    computed.
    """

    kind: ClassVar[str] = "single-label"
    main_metric: ClassVar[str] = "macro_f1"
    errors: ClassVar[tuple[str, ...]] = (LOG_LOSS, *SOFT)
    headline: ClassVar[tuple[str, ...]] = (
        "macro_f1",
        "macro_average_precision",
        "top1_accuracy",
        "pearson_r",
    )
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
    # What `fitted` has learned: no option, so a ClassVar and not a field.
    _facts: ClassVar[LabelFacts | None] = None

    def __post_init__(self) -> None:
        settle_options(self, "label_weight", SingleLabel)

    def check(self, taxonomy: Taxonomy | None) -> None:
        if taxonomy is not None and isinstance(self.label_weight, Mapping):
            given_weights(self.label_weight, taxonomy.names)
        if not self.ordinal:
            return
        if taxonomy is None:
            remedy = "options.labels, from the least to the most"
            raise EmomtlError("`ordinal` needs the labels in their order", remedy=remedy)
        for grouping in taxonomy.groupings:
            positions = _parent_positions(grouping, taxonomy)
            if positions != sorted(positions):
                problem = f"the grouping '{grouping.name}' does not keep the order of the labels, "
                problem += "which `ordinal` needs"
                remedy = "group neighbours, in order, or leave `ordinal` out"
                raise EmomtlError(problem, remedy=remedy)

    # -- labels and targets ------------------------------------------------------------------------

    def encode(self, label: Any, taxonomy: Taxonomy | None) -> int | NDArray[np.float32]:
        assert taxonomy is not None
        if self.soft:
            return self._distribution(label, taxonomy)
        if label is None:
            return MISSING
        if isinstance(label, Mapping):
            remedy = '`options.label_format = "distribution"` of a table, '
            remedy += "or `soft = true` in the task's head"
            raise EmomtlError("shares of several labels are a soft label", remedy=remedy)
        return self._position(label, taxonomy)

    def _position(self, label: Any, taxonomy: Taxonomy) -> int:
        if isinstance(label, str):
            return taxonomy.index(label)
        if not isinstance(label, Sequence) or len(label) != 1:
            problem = f"label {quoted(label)} is not one name"
            remedy = 'a "single-label" head takes one label a row; several need "multi-label"'
            raise EmomtlError(problem, remedy=remedy)
        return taxonomy.index(label[0])

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
        if abs(total - 1) > TOLERANCE:
            problem = f"the shares of the labels have a sum of {total:.3g}, not of 1"
            remedy = "give the share of every label; votes are whole numbers"
            raise EmomtlError(problem, remedy=remedy)
        return (row / total).astype(np.float32)

    def present(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        import numpy as np

        if targets.ndim == 2:
            return np.asarray(~np.isnan(targets).any(axis=1))
        return np.asarray(targets != MISSING)

    # -- training ----------------------------------------------------------------------------------

    @property
    def needs_rows(self) -> bool:
        return bool(self.label_weight or self.logit_adjustment)

    def fitted(self, targets: NDArray[Any], taxonomy: Taxonomy | None) -> Head:
        if not self.needs_rows and not self.label_smoothing:
            return self
        names, tau = self.outputs(taxonomy), self.logit_adjustment
        rows = self._label_counts(targets, len(names))
        weights = None
        if self.label_weight:
            weights = label_weights(self.label_weight, self.beta, rows, names)
        offsets = log_prior(tau, rows) if tau is not None else None
        learned = copy(self)
        object.__setattr__(learned, "_facts", LabelFacts(weights, offsets, labels=len(names)))
        return learned

    def _label_counts(self, targets: NDArray[Any], labels: int) -> NDArray[np.float64]:
        """How many rows have each label (L,); a soft label counts by its shares."""
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
            return self._reweighted_loss(logits.float(), targets)
        if targets.ndim == 2:
            # Cross-entropy against a distribution p: -sum_l p_l log q_l with q = softmax(logits).
            # For a p that is 1 at one label it is the loss below.
            known = ~torch.isnan(targets).any(dim=1)
            log_q = functional.log_softmax(logits.float(), dim=1)
            losses = -(torch.nan_to_num(targets) * log_q).sum(dim=1)
            return (losses * known).sum() / known.sum().clamp(min=1)
        total = functional.cross_entropy(
            logits.float(), targets, ignore_index=MISSING, reduction="sum"
        )
        return total / (targets != MISSING).sum().clamp(min=1)

    def _reweighted_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over rows of sum_c w_c y_c l_c(z + o).

        y are the target's shares, smoothed, w the weights, o the offsets, and l_c the cross-entropy
        or focal loss where c holds. It is torch's cross-entropy with `weight` and
        `label_smoothing`, but divided by the number of rows and not by the sum of their weights:
        the weights have a mean of 1 over the training rows already, and in a batch with one rare
        row that row must not count like any other.
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
        offsets = facts.on("offsets", logits.device)
        weights = facts.on("weights", logits.device)
        terms = softmax_terms(logits if offsets is None else logits + offsets, self.gamma or 0.0)
        counted = smoothed(shares, self.label_smoothing, logits.shape[1])
        if weights is not None:
            counted = weights * counted
        total: Tensor = ((counted * terms).sum(dim=1) * known).sum()
        return total / known.sum().clamp(min=1)

    def base_rate(self, targets: NDArray[Any]) -> BaseRate | None:
        """What the best constant distribution costs on the labelled rows.

        Offsets of the logits have no part in it: a constant can undo them.
        """
        from scipy.special import entr

        if (self.needs_rows or self.label_smoothing) and self._facts is None:
            raise not_fitted(self)
        facts = self._facts or LabelFacts()
        rows = self._label_counts(targets, facts.labels)
        frequencies = smoothed(rows / max(1.0, rows.sum()), self.label_smoothing, len(rows))
        # Under the cross-entropy it is their entropy H(q) = -sum_c q_c ln q_c, in nats.
        entropy = float(entr(frequencies).sum())
        if not self.gamma and facts.weights is None:
            return BaseRate(entropy)
        counts = frequencies if facts.weights is None else facts.weights * frequencies
        loss = best_constant(counts, self.gamma or 0.0)
        return BaseRate(loss, nats=entropy / loss if loss > 0 else 1.0)

    # -- predictions -------------------------------------------------------------------------------

    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        import numpy as np
        from scipy.special import softmax

        return np.asarray(softmax(logits.astype(np.float64), axis=1))

    def decode(
        self, probabilities: NDArray[Any], names: Sequence[str]
    ) -> list[list[tuple[str, float]]]:
        return [[(names[int(row.argmax())], float(row.max()))] for row in probabilities]

    def decided(self, targets: NDArray[Any]) -> NDArray[Any]:
        """One label a row: of a soft one, that with the largest share."""
        import numpy as np

        if targets.ndim != 2:
            return targets
        return np.where(self.present(targets), _hard_labels(targets), MISSING)

    def remarks(self, targets: NDArray[Any]) -> list[str]:
        if targets.ndim != 2 or not len(targets):
            return []
        remarks = ["soft labels: metrics are taken against the label with the largest share"]
        known = targets[self.present(targets)]
        if len(known):
            largest = known.max(axis=1, keepdims=True)
            ties = int(((known == largest).sum(axis=1) > 1).sum())
            if ties:
                remarks.append(f"{ties:,} row(s) have several such labels; the first one counts")
        return remarks

    def metrics(self, targets: NDArray[Any], probabilities: NDArray[Any]) -> Metrics:
        known = self.present(targets)
        if not known.any():
            names = [f"{mean}_{rate}" for mean in ("macro", "weighted") for rate in RATES]
            names += AGREEMENT
            names += ORDINAL if self.ordinal else ()
            names += SOFT if targets.ndim == 2 else ()
            names += [f"macro_{name}" for name in RANKED]
            return dict.fromkeys(["top1_accuracy", *names, LOG_LOSS])
        labels, predicted = probabilities.shape[1], probabilities[known]
        truth = _hard_labels(targets[known])
        metrics = self._metrics_of_decisions(truth, predicted.argmax(axis=1), labels)
        if targets.ndim == 2:
            metrics |= _metrics_of_distributions(targets[known], predicted)
        metrics |= macro_ranked((truth == label, predicted[:, label]) for label in range(labels))
        return metrics | {LOG_LOSS: _log_loss(truth, predicted)}

    def metric(self, name: str, targets: NDArray[Any], probabilities: NDArray[Any]) -> float | None:
        known = self.present(targets)
        has_own_metrics = type(self).metrics is not SingleLabel.metrics  # a subclass may
        if has_own_metrics or name.endswith((*RANKED, *SOFT)) or not known.any():
            return super().metric(name, targets, probabilities)
        truth, predicted = _hard_labels(targets[known]), probabilities[known]
        if name == LOG_LOSS:
            return _log_loss(truth, predicted)
        decided = predicted.argmax(axis=1)
        return self._metrics_of_decisions(truth, decided, probabilities.shape[1]).get(name)

    def metric_on_samples(
        self, name: str, targets: NDArray[Any], probabilities: NDArray[Any], samples: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Macro precision, recall and F1 of all samples at once."""
        import numpy as np

        if type(self).metrics is not SingleLabel.metrics or name not in MACRO_RATES:
            return super().metric_on_samples(name, targets, probabilities, samples)
        known = self.present(targets)
        truth = np.zeros(probabilities.shape, dtype=bool)
        decided = np.zeros(probabilities.shape, dtype=bool)
        truth[known, _hard_labels(targets[known])] = True
        decided[known, probabilities[known].argmax(axis=1)] = True
        return macro_rates(name, truth, decided, samples)

    def _metrics_of_decisions(
        self, truth: NDArray[Any], decided: NDArray[Any], labels: int
    ) -> Metrics:
        """The metrics of one decision a row, of at least one row."""
        from sklearn.metrics import accuracy_score, precision_recall_fscore_support

        metrics: Metrics = {"top1_accuracy": float(accuracy_score(truth, decided))}
        for mean in ("macro", "weighted"):
            rates = precision_recall_fscore_support(truth, decided, average=mean, zero_division=0)
            for name, value in zip(RATES, rates[:3], strict=True):
                metrics[f"{mean}_{name}"] = float(value)
        metrics |= agreement(truth, decided, labels)
        return metrics | (ordinal_agreement(truth, decided) if self.ordinal else {})

    def table(
        self, targets: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str]
    ) -> list[Row]:
        import numpy as np
        from sklearn.metrics import precision_recall_fscore_support

        known = self.present(targets)
        undefined: Metrics = dict.fromkeys((*RATES, *RANKED))
        if not known.any():
            return [{"label": name, "support": 0, "predicted": 0, **undefined} for name in names]
        truth, decided = _hard_labels(targets[known]), probabilities[known].argmax(axis=1)
        predicted = np.bincount(decided, minlength=len(names))
        *rates, support = precision_recall_fscore_support(
            truth, decided, labels=range(len(names)), average=None, zero_division=0
        )
        rows: list[Row] = []
        for i, name in enumerate(names):
            metrics = dict(undefined)
            if support[i] > 0 or predicted[i] > 0:
                metrics |= {
                    rate: float(values[i]) for rate, values in zip(RATES, rates, strict=True)
                }
            ranks = ranked(truth == i, probabilities[known, i])
            metrics |= dict(zip(RANKED, ranks, strict=True))
            counts = {"support": int(support[i]), "predicted": int(predicted[i])}
            rows.append({"label": name, **counts, **metrics})
        return rows

    def fold(
        self,
        targets: NDArray[Any],
        probabilities: NDArray[Any],
        grouping: Grouping,
        taxonomy: Taxonomy,
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The label's parent, and the sum of its members' probabilities."""
        import numpy as np

        parents = np.array(_parent_positions(grouping, taxonomy))
        coarse = _summed(probabilities, parents, len(grouping.names))
        if targets.ndim == 2:
            return _summed(targets, parents, len(grouping.names)), coarse
        folded = parents[np.clip(targets, 0, None)]
        return np.where(self.present(targets), folded, MISSING), coarse


def _parent_positions(grouping: Grouping, taxonomy: Taxonomy) -> list[int]:
    """For each label, the position of its parent in the grouping."""
    return [grouping.names.index(grouping.parents[name]) for name in taxonomy.names]


def _summed(values: NDArray[Any], parents: NDArray[Any], groups: int) -> NDArray[np.float64]:
    """Values (n, L) summed over the members of each group, (n, `groups`)."""
    import numpy as np

    sums = np.zeros((len(values), groups))
    for column, parent in enumerate(parents):
        sums[:, parent] += values[:, column]
    return sums


def _log_loss(truth: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """The mean of -ln p(true label), as scikit-learn's `log_loss`; p = 0 counts as 2.2e-16."""
    import numpy as np

    of_truth = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.clip(of_truth, np.finfo(np.float64).eps, 1.0)).mean())


def _hard_labels(targets: NDArray[Any]) -> NDArray[Any]:
    """The position of each row's label (n,); of a soft one, the first with the largest share."""
    return targets.argmax(axis=1) if targets.ndim == 2 else targets


def _metrics_of_distributions(shares: NDArray[Any], probabilities: NDArray[Any]) -> Metrics:
    """How far predicted distributions q are from those of the labels p, (n, L): means over rows.

    The cross-entropy is the soft metric of Uma et al. (2021, "Learning from disagreement").
    """
    import numpy as np
    from scipy.special import entr, rel_entr

    p, q = shares.astype(np.float64), probabilities.astype(np.float64)
    # H(p, q) = -sum p ln q, and KL(p, q) = H(p, q) - H(p), both in nats.
    cross_entropy = -(p * np.log(np.maximum(q, LEAST_SHARE))).sum(axis=1)
    divergence = cross_entropy - entr(p).sum(axis=1)
    # Jensen-Shannon (Lin, 1991): (KL(p, m) + KL(q, m)) / 2 with m = (p + q) / 2, in bits, so 0..1.
    m = (p + q) / 2
    jensen_shannon = (rel_entr(p, m) + rel_entr(q, m)).sum(axis=1) / (2 * math.log(2))
    means = (cross_entropy, divergence, np.clip(jensen_shannon, 0.0, 1.0))
    return {name: float(values.mean()) for name, values in zip(SOFT, means, strict=True)}


def _share(name: str, value: Any) -> float:
    """The share of a label in 0..1; None is 0."""
    try:
        share = 0.0 if value is None else float(value)
    except (TypeError, ValueError, OverflowError):  # 10**400 is an integer that no float holds
        share = -1.0
    if not 0 <= share <= 1 + TOLERANCE:
        problem = f"label {quoted(name)} has the share {quoted(value)}"
        raise EmomtlError(problem, remedy="0..1, or votes in whole numbers")
    return share
