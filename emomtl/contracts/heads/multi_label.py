"""Any number of labels a text: one sigmoid for each label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types

from emomtl.contracts.heads.agreement import binary_agreement
from emomtl.contracts.heads.declaration import BaseRate, Head, Metrics, Row
from emomtl.contracts.heads.label_facts import (
    LabelFacts,
    Weights,
    given_weights,
    log_prior_odds,
    positive_weights,
    weights_in_words,
)
from emomtl.contracts.heads.loss_options import not_fitted, settle_options
from emomtl.contracts.heads.losses import Focus, best_constants, binary_terms, smoothed
from emomtl.contracts.heads.ranking import RANKED, Column, macro_ranked, mean_of_defined, ranked
from emomtl.contracts.heads.resampling import MACRO_RATES, macro_rates
from emomtl.errors import EmomtlError, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from emomtl.contracts.taxonomy import Grouping, Taxonomy

Exponent = Annotated[float, annotated_types.Ge(0), annotated_types.Le(20)]

SECOND_THRESHOLD = 0.3
"""The threshold of GoEmotions' authors (Demszky et al., 2020), reported beside 0.5."""


@dataclass(frozen=True)
class MultiLabel(Head):
    """Binary cross-entropy per label (mean over labels and rows); metrics at 0.5 and 0.3.

    Targets are float (B, L) with NaN where a label is unknown. Soft values in 0..1 are allowed, and
    every loss is linear in them. `threshold` decides what `predict` answers and nothing else.

    For rare labels: `pos_weight` multiplies the loss of a label where it holds: `"balanced"` (rows
    without it over rows with it), `"effective-number"` (Cui et al., 2019, with `beta`), or numbers
    by label, 1 for those that are not named. `criterion` is `"cross-entropy"`, `"focal"` (Lin et
    al., 2017, with `gamma`) or `"asymmetric"` (ASL; Ridnik et al., 2021, with `gamma_pos`,
    `gamma_neg`, `clip`). `logit_adjustment` is tau of Menon et al. (2021) for each label's yes and
    no. For labels in doubt: `label_smoothing` moves targets towards 1/2 (Szegedy et al., 2016).
    None of them changes how probabilities, answers and metrics are computed.
    """

    kind: ClassVar[str] = "multi-label"
    main_metric: ClassVar[str] = "macro_f1"
    headline: ClassVar[tuple[str, ...]] = (
        *("macro_f1", "micro_f1", "subset_accuracy", "macro_f1_at_0.3"),
        *("macro_f1_tuned", "macro_f1_tuned_by_label", "macro_average_precision"),
    )
    reported: ClassVar[tuple[str, ...]] = (
        *("macro_f1", "micro_f1", "weighted_f1", "macro_precision", "macro_recall"),
        *("subset_accuracy", "macro_f1_at_0.3", "micro_f1_at_0.3", "subset_accuracy_at_0.3"),
        *("macro_f1_tuned", "micro_f1_tuned", "macro_f1_tuned_by_label", "micro_f1_tuned_by_label"),
        *("jaccard", "macro_matthews_correlation"),
        *("macro_average_precision", "micro_average_precision", "macro_auroc", "micro_auroc"),
    )
    by_thresholds: ClassVar[bool] = True
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        "macro_matthews_correlation": (-1.0, 1.0),
        "macro_cohen_kappa": (-1.0, 1.0),
        **dict.fromkeys(
            ("macro_", "micro_", "weighted_", "subset_accuracy", "jaccard"), (0.0, 1.0)
        ),
    }
    lr: Annotated[float, annotated_types.Gt(0)] | None = None
    dropout: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] = 0.1
    threshold: Annotated[float, annotated_types.Gt(0), annotated_types.Lt(1)] = 0.5
    criterion: Literal["cross-entropy", "focal", "asymmetric"] = "cross-entropy"
    gamma: Exponent | None = None
    gamma_pos: Exponent | None = None
    gamma_neg: Exponent | None = None
    clip: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] | None = None
    pos_weight: Weights | None = None
    beta: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] | None = None
    label_smoothing: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] = 0.0
    logit_adjustment: Annotated[float, annotated_types.Gt(0), annotated_types.Le(10)] | None = None
    # What `fitted` has learned: no option, so a ClassVar and not a field.
    _facts: ClassVar[LabelFacts | None] = None

    def __post_init__(self) -> None:
        settle_options(self, "pos_weight", MultiLabel)

    def check(self, taxonomy: Taxonomy | None) -> None:
        if taxonomy is not None and isinstance(self.pos_weight, Mapping):
            given_weights(self.pos_weight, taxonomy.names)

    # -- labels and targets ------------------------------------------------------------------------

    def encode(self, label: Any, taxonomy: Taxonomy | None) -> NDArray[np.float32]:
        import numpy as np

        assert taxonomy is not None
        if label is None:
            return np.full(len(taxonomy), np.nan, np.float32)
        if isinstance(label, Mapping):
            row = np.full(len(taxonomy), np.nan, np.float32)
            for name, value in label.items():
                row[taxonomy.index(name)] = _probability(name, value)
            return row
        if not isinstance(label, Iterable):
            problem = f"label {quoted(label)} is not a name"
            raise EmomtlError(problem, remedy="a name, several, or a table of names with values")
        row = np.zeros(len(taxonomy), np.float32)
        for name in (label,) if isinstance(label, str) else label:
            row[taxonomy.index(name)] = 1.0
        return row

    def present(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        import numpy as np

        return np.asarray(~np.isnan(targets).all(axis=1))

    def known(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The known labels of each row (B,)."""
        import numpy as np

        return np.asarray((~np.isnan(targets)).sum(axis=1))

    # -- training ----------------------------------------------------------------------------------

    @property
    def _focus(self) -> Focus:
        if self.criterion == "focal":
            return Focus(self.gamma or 0.0, self.gamma or 0.0)
        return Focus(self.gamma_pos or 0.0, self.gamma_neg or 0.0, self.clip or 0.0)

    @property
    def needs_rows(self) -> bool:
        return bool(self.pos_weight or self.logit_adjustment)

    def fitted(self, targets: NDArray[Any], taxonomy: Taxonomy | None) -> Head:
        if not self.needs_rows:
            return self
        import numpy as np

        holds = np.asarray(np.nansum(targets, axis=0, dtype=np.float64))
        lacks = np.asarray((~np.isnan(targets)).sum(axis=0) - holds)
        names, tau = self.outputs(taxonomy), self.logit_adjustment
        weights = None
        if self.pos_weight:
            weights = positive_weights(self.pos_weight, self.beta, holds, lacks, names)
        offsets = log_prior_odds(tau, holds, lacks) if tau is not None else None
        learned = copy(self)
        object.__setattr__(learned, "_facts", LabelFacts(weights, offsets))
        return learned

    def loss_notes(self, taxonomy: Taxonomy | None) -> list[str]:
        if self._facts is None or self._facts.weights is None:
            return []
        return [weights_in_words("pos_weight", self._facts.weights, self.outputs(taxonomy))]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        import torch
        from torch.nn import functional

        known = ~torch.isnan(targets)
        y = smoothed(torch.nan_to_num(targets), self.label_smoothing, 2)
        if self._focus or self.needs_rows:
            losses = self._reweighted_loss(logits.float(), y)
        else:
            losses = functional.binary_cross_entropy_with_logits(
                logits.float(), y, reduction="none"
            )
        return (losses * known).sum() / known.sum().clamp(min=1)

    def _reweighted_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """The loss of each label (B, L), for targets y."""
        if self.needs_rows and self._facts is None:
            raise not_fitted(self)
        facts = self._facts or LabelFacts()
        offsets = facts.on("offsets", logits.device)
        weights = facts.on("weights", logits.device)
        # w_c y l_pos(z + o_c) + (1 - y) l_neg(z + o_c), with weights w and offsets o
        holds, lacks = binary_terms(logits if offsets is None else logits + offsets, self._focus)
        if weights is not None:
            holds = weights * holds
        return y * holds + (1 - y) * lacks

    def base_rate(self, targets: NDArray[Any]) -> BaseRate | None:
        """The mean over labels of what the best constant costs, weighted by the rows that are
        known.

        Offsets of the logits have no part in it: a constant can undo them.
        """
        import numpy as np
        from scipy.special import entr

        if self.needs_rows and self._facts is None:
            raise not_fitted(self)
        known = ~np.isnan(targets)
        rows = known.sum(axis=0)
        means = np.nansum(targets, axis=0, dtype=np.float64) / np.maximum(rows, 1)
        p = smoothed(means, self.label_smoothing, 2)

        def mean(costs: NDArray[Any]) -> float:
            return float((costs * rows).sum() / max(1, rows.sum()))

        # Under the cross-entropy the best constant is p (also of soft targets, in which the loss is
        # linear), and costs H(p) = -p ln p - (1 - p) ln(1 - p).
        entropy = mean(entr(p) + entr(1 - p))
        weights = self._facts.weights if self._facts is not None else None
        if not self._focus and weights is None:
            return BaseRate(entropy)
        loss = mean(best_constants(p if weights is None else weights * p, 1 - p, self._focus))
        return BaseRate(loss, nats=entropy / loss if loss > 0 else 1.0)

    # -- predictions -------------------------------------------------------------------------------

    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        import numpy as np
        from scipy.special import expit

        return np.asarray(expit(logits.astype(np.float64)))

    def decode(
        self, probabilities: NDArray[Any], names: Sequence[str]
    ) -> list[list[tuple[str, float]]]:
        answers = []
        for row in probabilities:
            best_first = (-row).argsort(kind="stable")
            chosen = [i for i in best_first if row[i] >= self.threshold]
            answers.append([(names[i], float(row[i])) for i in chosen])
        return answers

    def remarks(self, targets: NDArray[Any]) -> list[str]:
        soft = (targets > 0) & (targets < 1)
        if not soft.any():
            return []
        remarks = ["soft labels: for metrics a text has a label from a share of 0.5 on"]
        half = int((targets == 0.5).sum())
        if half:
            remarks.append(f"{half:,} label(s) of a text have a share of exactly 0.5, and count")
        return remarks

    def metrics(self, targets: NDArray[Any], probabilities: NDArray[Any]) -> Metrics:
        at_second = _metrics_at(targets, probabilities, SECOND_THRESHOLD)
        return (
            _metrics_at(targets, probabilities, 0.5)
            | {f"{name}_at_{SECOND_THRESHOLD}": value for name, value in at_second.items()}
            | _ranked_metrics(targets, probabilities)
        )

    def metric(self, name: str, targets: NDArray[Any], probabilities: NDArray[Any]) -> float | None:
        if self._has_own_metrics:
            return super().metric(name, targets, probabilities)
        if name.endswith(RANKED):
            return _ranked_metrics(targets, probabilities).get(name)
        suffix = f"_at_{SECOND_THRESHOLD}"
        threshold = SECOND_THRESHOLD if name.endswith(suffix) else 0.5
        return _metrics_at(targets, probabilities, threshold).get(name.removesuffix(suffix))

    def metric_on_samples(
        self, name: str, targets: NDArray[Any], probabilities: NDArray[Any], samples: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Macro precision, recall and F1 of all samples at once."""
        import numpy as np

        suffix = f"_at_{SECOND_THRESHOLD}"
        rate = name.removesuffix(suffix)
        if self._has_own_metrics or rate not in MACRO_RATES:
            return super().metric_on_samples(name, targets, probabilities, samples)
        known = ~np.isnan(targets)
        threshold = SECOND_THRESHOLD if name.endswith(suffix) else 0.5
        truth = known & (np.where(known, targets, 0.0) >= 0.5)
        return macro_rates(rate, truth, known & (probabilities >= threshold), samples)

    def decision_metrics(self, targets: NDArray[Any], decisions: NDArray[Any]) -> Metrics:
        return {} if self._has_own_metrics else _metrics_at(targets, decisions, 0.5)

    @property
    def _has_own_metrics(self) -> bool:
        """Whether a subclass has overridden `metrics`, so that shortcuts would miss some."""
        return type(self).metrics is not MultiLabel.metrics

    def table(
        self, targets: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str]
    ) -> list[Row]:
        counts = _Counts.of(targets, probabilities, 0.5)
        second_counts = _Counts.of(targets, probabilities, SECOND_THRESHOLD)
        rows: list[Row] = []
        for i, (name, column) in enumerate(
            zip(names, _columns(targets, probabilities), strict=True)
        ):
            precision, recall, f1 = counts.rates(i)
            average_precision, auroc = ranked(*column)
            rows.append(
                {
                    "label": name,
                    "support": int(counts.support[i]),
                    "predicted": int(counts.predicted[i]),
                    "precision": precision,
                    "recall": recall,
                    "f1": f1,
                    f"f1_at_{SECOND_THRESHOLD}": second_counts.rates(i)[2],
                    "average_precision": average_precision,
                    "auroc": auroc,
                }
            )
        return rows

    def fold(
        self,
        targets: NDArray[Any],
        probabilities: NDArray[Any],
        grouping: Grouping,
        taxonomy: Taxonomy,
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """OR over members: a coarse label holds where a member does, with the largest probability.

        At any threshold the coarse decision is then the OR of the fine ones.
        """
        import numpy as np

        coarse_targets, coarse_probabilities = [], []
        for members in grouping.groups.values():
            columns = [taxonomy.index(member) for member in members]
            part = targets[:, columns]
            largest = np.where(np.isnan(part), -1.0, part).max(axis=1)
            unknown = np.isnan(part).any(axis=1) & (largest < 1)
            coarse_targets.append(np.where(unknown, np.nan, largest))
            coarse_probabilities.append(probabilities[:, columns].max(axis=1))
        return np.stack(coarse_targets, axis=1), np.stack(coarse_probabilities, axis=1)


@dataclass(frozen=True)
class _Counts:
    """For each label (L,): rows that have it, that are predicted to, both, and that are known."""

    support: NDArray[Any]
    predicted: NDArray[Any]
    both: NDArray[Any]
    known: NDArray[Any]

    @classmethod
    def of(cls, targets: NDArray[Any], probabilities: NDArray[Any], threshold: float) -> _Counts:
        """The counts at a threshold; a soft target counts from 0.5 on."""
        import numpy as np

        known = ~np.isnan(targets)
        truth = np.where(known, targets, 0.0) >= 0.5
        decided = (probabilities >= threshold) & known
        both = truth & decided
        return cls(truth.sum(axis=0), decided.sum(axis=0), both.sum(axis=0), known.sum(axis=0))

    def rates(self, i: int) -> tuple[float | None, float | None, float | None]:
        """Precision, recall and F1 of one label; None without a positive and a prediction."""
        support, predicted = float(self.support[i]), float(self.predicted[i])
        both = float(self.both[i])
        if support == 0 and predicted == 0:
            return None, None, None
        precision = both / predicted if predicted else 0.0
        recall = both / support if support else 0.0
        return precision, recall, 2 * both / (support + predicted)


def _metrics_at(targets: NDArray[Any], probabilities: NDArray[Any], threshold: float) -> Metrics:
    """The metrics of decisions at one threshold.

    Macro means leave out labels without a positive and a prediction.
    """
    import numpy as np

    counts = _Counts.of(targets, probabilities, threshold)
    rates_by_label = [counts.rates(i) for i in range(targets.shape[1])]
    defined = [i for i, rates in enumerate(rates_by_label) if rates[2] is not None]
    weights = counts.support[defined].astype(float)
    metrics: Metrics = {}
    for position, name in enumerate(("precision", "recall", "f1")):
        values = np.array([rates_by_label[i][position] for i in defined], float)
        weighted = float((values * weights).sum() / weights.sum()) if weights.sum() else None
        metrics[f"macro_{name}"] = float(values.mean()) if len(values) else None
        metrics[f"weighted_{name}"] = weighted
    support, predicted = float(counts.support.sum()), float(counts.predicted.sum())
    both = float(counts.both.sum())
    without_predictions = 0.0 if support else None
    metrics["micro_precision"] = both / predicted if predicted else without_predictions
    metrics["micro_recall"] = both / support if support else None
    metrics["micro_f1"] = 2 * both / (support + predicted) if support + predicted else None
    parts = zip(counts.support, counts.predicted, counts.both, counts.known, strict=True)
    agreements = [binary_agreement(*map(float, part)) for part in parts]
    for position, name in enumerate(("matthews_correlation", "cohen_kappa")):
        metrics[f"macro_{name}"] = mean_of_defined(both_of[position] for both_of in agreements)
    return metrics | _metrics_of_sets(targets, probabilities, threshold)


def _metrics_of_sets(
    targets: NDArray[Any], probabilities: NDArray[Any], threshold: float
) -> Metrics:
    """The metrics of each row's set of labels, over the rows of which every label is known."""
    import numpy as np

    complete = ~np.isnan(targets).any(axis=1)
    if not complete.any():
        return {"subset_accuracy": None, "jaccard": None}
    truth, decided = targets[complete] >= 0.5, probabilities[complete] >= threshold
    # Jaccard index |A & B| / |A | B|, 1 where both are empty: the "accuracy" of SemEval-2018 task 1
    # E-c (Mohammad et al., 2018).
    shared, either = (truth & decided).sum(axis=1), (truth | decided).sum(axis=1)
    jaccard = np.where(either > 0, shared / np.maximum(either, 1), 1.0)
    return {
        "subset_accuracy": float((truth == decided).all(axis=1).mean()),
        "jaccard": float(jaccard.mean()),
    }


def _columns(targets: NDArray[Any], probabilities: NDArray[Any]) -> Iterator[Column]:
    """Of each label the rows where it is known: whether they have it, and its probability."""
    import numpy as np

    # contiguous copies, since each column is read as a whole
    by_label = np.ascontiguousarray(targets.T), np.ascontiguousarray(probabilities.T)
    for truth, scores in zip(*by_label, strict=True):
        known = ~np.isnan(truth)
        yield truth[known] >= 0.5, scores[known]


def _ranked_metrics(targets: NDArray[Any], probabilities: NDArray[Any]) -> Metrics:
    """Average precision and AUROC: macro means over labels, and micro over all known cells."""
    import numpy as np

    metrics = macro_ranked(_columns(targets, probabilities))
    known = ~np.isnan(targets)
    micro = ranked(targets[known] >= 0.5, probabilities[known])
    return metrics | {f"micro_{name}": value for name, value in zip(RANKED, micro, strict=True)}


def _probability(name: str, value: Any) -> float:
    """The value of a label in 0..1, NaN where it is unknown."""
    try:
        number = float("nan") if value is None else float(value)
    except (TypeError, ValueError, OverflowError):  # 10**400 is an integer that no float holds
        number = -1.0
    if value is not None and not 0 <= number <= 1:
        problem = f"label {quoted(name)} has the value {quoted(value)}"
        raise EmomtlError(problem, remedy="0..1, or None for unknown")
    return number
