"""Any number of labels a text: one sigmoid per label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types

from emomtl.contracts.heads.agreement import binary_agreement
from emomtl.contracts.heads.declaration import BaseRate, Head, Row
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
from emomtl.contracts.heads.ranking import RANKED, Column, macro_ranked, ranked
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
    """Binary cross-entropy per label (mean over labels and rows); metrics at thresholds 0.5 and 0.3.

    Targets are float (B, L) with NaN where a label is unknown; soft values in 0..1 are allowed, in which every loss is
    linear. `threshold` decides what `predict` answers and nothing else.

    For rare labels: `pos_weight` multiplies what a label costs where it holds: `"balanced"` (rows without it over rows with
    it), `"effective-number"` (Cui et al., 2019, with `beta`), or numbers by label, 1 for those that are not named.
    `criterion` is `"cross-entropy"`, `"focal"` (Lin et al., 2017, with `gamma`) or `"asymmetric"` (ASL; Ridnik et al., 2021,
    with `gamma_pos`, `gamma_neg`, `clip`). `logit_adjustment` is tau of Menon et al. (2021) for each label's yes and no. For
    labels that are in doubt: `label_smoothing` moves targets towards 1/2 (Szegedy et al., 2016). None of them changes
    how probabilities, answers and metrics are computed.
    """

    kind: ClassVar[str] = "multi-label"
    main_metric: ClassVar[str] = "macro_f1"
    headline: ClassVar[tuple[str, ...]] = (
        *("macro_f1", "micro_f1", "subset_accuracy", "macro_f1_at_0.3"),
        *("macro_f1_tuned", "macro_f1_tuned_by_label", "macro_average_precision"),
    )
    reported: ClassVar[tuple[str, ...]] = (
        *("macro_f1", "micro_f1", "weighted_f1", "macro_precision", "macro_recall", "subset_accuracy"),
        *("macro_f1_at_0.3", "micro_f1_at_0.3", "subset_accuracy_at_0.3"),
        *("macro_f1_tuned", "micro_f1_tuned", "macro_f1_tuned_by_label", "micro_f1_tuned_by_label"),
        *("jaccard", "macro_matthews_correlation"),
        *("macro_average_precision", "micro_average_precision", "macro_auroc", "micro_auroc"),
    )
    by_thresholds: ClassVar[bool] = True
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        "macro_matthews_correlation": (-1.0, 1.0),
        "macro_cohen_kappa": (-1.0, 1.0),
        **dict.fromkeys(("macro_", "micro_", "weighted_", "subset_accuracy", "jaccard"), (0.0, 1.0)),
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
    # of a fitted copy alone; no option, and so no field
    _facts: ClassVar[LabelFacts | None] = None

    def __post_init__(self) -> None:
        settle_options(self, "pos_weight", MultiLabel)

    def check(self, taxonomy: Taxonomy | None) -> None:
        if taxonomy is not None and isinstance(self.pos_weight, Mapping):
            given_weights(self.pos_weight, taxonomy.names)

    @property
    def _focus(self) -> Focus:
        if self.criterion == "focal":
            return Focus(self.gamma or 0.0, self.gamma or 0.0)
        return Focus(self.gamma_pos or 0.0, self.gamma_neg or 0.0, self.clip or 0.0)

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
            raise EmomtlError(f"label {quoted(label)} is not a name", remedy="a name, several, or a table of names with values")
        row = np.zeros(len(taxonomy), np.float32)
        for name in (label,) if isinstance(label, str) else label:
            row[taxonomy.index(name)] = 1.0
        return row

    def present(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        import numpy as np

        return np.asarray(~np.isnan(targets).all(axis=1))

    def known(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The known labels of each row (B,): the loss is the mean over them."""
        import numpy as np

        return np.asarray((~np.isnan(targets)).sum(axis=1))

    @property
    def needs_rows(self) -> bool:
        return bool(self.pos_weight or self.logit_adjustment)

    def fitted(self, targets: NDArray[Any], taxonomy: Taxonomy | None) -> Head:
        if not self.needs_rows:
            return self
        import numpy as np

        holds = np.asarray(np.nansum(targets, axis=0, dtype=np.float64))
        lacks = np.asarray((~np.isnan(targets)).sum(axis=0) - holds)
        names = self.outputs(taxonomy)
        weights = positive_weights(self.pos_weight, self.beta, holds, lacks, names) if self.pos_weight else None
        tau = self.logit_adjustment
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
        wanted = smoothed(torch.nan_to_num(targets), self.label_smoothing, 2)
        if not self._focus and not self.needs_rows:
            each = functional.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
        else:
            each = self._reweighted(logits.float(), wanted)
        return (each * known).sum() / known.sum().clamp(min=1)

    def _reweighted(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """w_c y l_pos(z + o_c) + (1 - y) l_neg(z + o_c): the loss of each label (B, L), with weights w and offsets o."""
        if self.needs_rows and self._facts is None:
            raise not_fitted(self)
        facts = self._facts or LabelFacts()
        offsets, weights = facts.on("offsets", logits.device), facts.on("weights", logits.device)
        holds, lacks = binary_terms(logits if offsets is None else logits + offsets, self._focus)
        return wanted * (holds if weights is None else weights * holds) + (1 - wanted) * lacks

    def base_rate(self, targets: NDArray[Any]) -> BaseRate | None:
        """The mean over labels of what the best constant costs, each counted by the rows in which it is known.

        Under the cross-entropy the best constant of a label is its mean p over the rows (soft targets
        included, as the loss is linear in them), which costs H(p) = -p ln p - (1-p) ln(1-p). Weights,
        focal and asymmetric loss have another best constant. An offset of the logits has no part in it: a
        constant can undo it.
        """
        import numpy as np
        from scipy.special import entr

        if self.needs_rows and self._facts is None:
            raise not_fitted(self)
        known = ~np.isnan(targets)
        rows = known.sum(axis=0)
        means = np.nansum(targets, axis=0, dtype=np.float64) / np.maximum(rows, 1)
        means = smoothed(means, self.label_smoothing, 2)

        def mean(least: NDArray[Any]) -> float:
            return float((least * rows).sum() / max(1, rows.sum()))

        entropy = mean(entr(means) + entr(1 - means))
        weights = self._facts.weights if self._facts is not None else None
        if not self._focus and weights is None:
            return BaseRate(entropy)
        loss = mean(best_constants(means if weights is None else weights * means, 1 - means, self._focus))
        return BaseRate(loss, nats=entropy / loss if loss > 0 else 1.0)

    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        import numpy as np
        from scipy.special import expit

        return np.asarray(expit(logits.astype(np.float64)))

    def decode(self, probabilities: NDArray[Any], names: Sequence[str]) -> list[list[tuple[str, float]]]:
        answers = []
        for row in probabilities:
            chosen = [(names[i], float(row[i])) for i in (-row).argsort(kind="stable") if row[i] >= self.threshold]
            answers.append(chosen)
        return answers

    def remarks(self, targets: NDArray[Any]) -> list[str]:
        import numpy as np

        between = (targets > 0) & (targets < 1)
        if not between.any():
            return []
        half = int(np.count_nonzero(targets == 0.5))
        said = ["soft labels: for metrics a text has a label from a share of 0.5 on"]
        return said + ([f"{half:,} label(s) of a text have a share of exactly 0.5, and count"] if half else [])

    def metrics(self, targets: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for threshold, suffix in ((0.5, ""), (SECOND_THRESHOLD, f"_at_{SECOND_THRESHOLD}")):
            for name, value in _at(targets, probabilities, threshold).items():
                found[name + suffix] = value
        return found | _ranked(targets, probabilities)

    def metric(self, name: str, targets: NDArray[Any], probabilities: NDArray[Any]) -> float | None:
        if type(self).metrics is not MultiLabel.metrics:  # a kind made of this one has metrics of its own
            return super().metric(name, targets, probabilities)
        if name.endswith(RANKED):
            return _ranked(targets, probabilities).get(name)
        suffix = f"_at_{SECOND_THRESHOLD}"
        threshold = SECOND_THRESHOLD if name.endswith(suffix) else 0.5
        return _at(targets, probabilities, threshold).get(name.removesuffix(suffix))

    def decision_metrics(self, targets: NDArray[Any], decisions: NDArray[Any]) -> dict[str, float | None]:
        own = type(self).metrics is MultiLabel.metrics  # else a kind made of this one has metrics of its own
        return _at(targets, decisions, 0.5) if own else {}

    def table(self, targets: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str]) -> list[Row]:
        half = _counts(targets, probabilities, 0.5)
        low = _counts(targets, probabilities, SECOND_THRESHOLD)
        rows: list[Row] = []
        for i, (name, column) in enumerate(zip(names, _columns(targets, probabilities), strict=True)):
            precision, recall, f1 = half.rates(i)
            average_precision, auroc = ranked(*column)
            rows.append(
                {
                    "label": name,
                    "support": int(half.support[i]),
                    "predicted": int(half.predicted[i]),
                    "precision": precision,
                    "recall": recall,
                    "f1": f1,
                    f"f1_at_{SECOND_THRESHOLD}": low.rates(i)[2],
                    "average_precision": average_precision,
                    "auroc": auroc,
                }
            )
        return rows

    def fold(
        self, targets: NDArray[Any], probabilities: NDArray[Any], grouping: Grouping, taxonomy: Taxonomy
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """OR over members: a coarse label holds where a member does, and has the largest probability of its members.

        At any threshold the coarse decision is then the OR of the fine ones.
        """
        import numpy as np

        coarse_targets, coarse_probabilities = [], []
        for members in grouping.groups.values():
            columns = [taxonomy.index(member) for member in members]
            part = targets[:, columns]
            known = np.where(np.isnan(part), -1.0, part).max(axis=1)
            unknown = np.isnan(part).any(axis=1) & (known < 1)
            coarse_targets.append(np.where(unknown, np.nan, known))
            coarse_probabilities.append(probabilities[:, columns].max(axis=1))
        return np.stack(coarse_targets, axis=1), np.stack(coarse_probabilities, axis=1)


@dataclass(frozen=True)
class _Counts:
    """Per label: rows that have it, rows predicted to, rows where both hold, and rows where it is known."""

    support: NDArray[Any]
    predicted: NDArray[Any]
    both: NDArray[Any]
    known: NDArray[Any]

    def rates(self, i: int) -> tuple[float | None, float | None, float | None]:
        """Precision, recall and F1 of one label; None where there is neither a positive nor a prediction."""
        support, predicted, both = float(self.support[i]), float(self.predicted[i]), float(self.both[i])
        if support == 0 and predicted == 0:
            return None, None, None
        precision = both / predicted if predicted else 0.0
        recall = both / support if support else 0.0
        return precision, recall, 2 * both / (support + predicted)


def _counts(targets: NDArray[Any], probabilities: NDArray[Any], threshold: float) -> _Counts:
    import numpy as np

    known = ~np.isnan(targets)
    truth = np.where(known, targets, 0.0) >= 0.5
    decided = (probabilities >= threshold) & known
    return _Counts(truth.sum(axis=0), decided.sum(axis=0), (truth & decided).sum(axis=0), known.sum(axis=0))


def _at(targets: NDArray[Any], probabilities: NDArray[Any], threshold: float) -> dict[str, float | None]:
    """All figures at one threshold. Macro means leave out labels with neither a positive nor a prediction."""
    import numpy as np

    counts = _counts(targets, probabilities, threshold)
    defined = [i for i in range(targets.shape[1]) if counts.rates(i)[2] is not None]
    rates = [counts.rates(i) for i in defined]
    weights = counts.support[defined].astype(float)
    found: dict[str, float | None] = {}
    for position, name in enumerate(("precision", "recall", "f1")):
        values = np.array([float(rate[position] or 0.0) for rate in rates])
        found[f"macro_{name}"] = float(values.mean()) if len(values) else None
        found[f"weighted_{name}"] = float((values * weights).sum() / weights.sum()) if weights.sum() else None
    support, predicted, both = (float(part.sum()) for part in (counts.support, counts.predicted, counts.both))
    found["micro_precision"] = both / predicted if predicted else (0.0 if support else None)
    found["micro_recall"] = both / support if support else None
    found["micro_f1"] = 2 * both / (support + predicted) if support + predicted else None
    parts = zip(counts.support, counts.predicted, counts.both, counts.known, strict=True)
    agreements = [binary_agreement(*map(float, part)) for part in parts]
    for place, name in enumerate(("matthews_correlation", "cohen_kappa")):
        known = [value for one in agreements if (value := one[place]) is not None]
        found[f"macro_{name}"] = sum(known) / len(known) if known else None
    whole = ~np.isnan(targets).any(axis=1)
    truth, decided = targets[whole] >= 0.5, probabilities[whole] >= threshold
    found["subset_accuracy"] = float((truth == decided).all(axis=1).mean()) if whole.any() else None
    # Jaccard index |A & B| / |A | B| of each row's sets of labels, 1 where both are empty: the "accuracy" of SemEval-2018
    # task 1 E-c (Mohammad et al., 2018).
    shared, either = (truth & decided).sum(axis=1), (truth | decided).sum(axis=1)
    found["jaccard"] = float(np.where(either > 0, shared / np.maximum(either, 1), 1.0).mean()) if whole.any() else None
    return found


def _columns(targets: NDArray[Any], probabilities: NDArray[Any]) -> Iterator[Column]:
    """Of each label the rows where it is known: whether they have it, and its probability."""
    import numpy as np

    by_label = np.ascontiguousarray(targets.T), np.ascontiguousarray(probabilities.T)  # columns are read as a whole
    for truth, scores in zip(*by_label, strict=True):
        known = ~np.isnan(truth)
        yield truth[known] >= 0.5, scores[known]


def _ranked(targets: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, float | None]:
    """Average precision and AUROC: means over labels, and over all cells that are known as if they were of one label."""
    import numpy as np

    found = macro_ranked(_columns(targets, probabilities))
    known = ~np.isnan(targets)
    every = ranked(targets[known] >= 0.5, probabilities[known])
    return found | {f"micro_{name}": value for name, value in zip(RANKED, every, strict=True)}


def _probability(name: str, value: Any) -> float:
    """The value of a label in 0..1, NaN where it is unknown; what is no such number is refused."""
    try:
        number = float("nan") if value is None else float(value)
    except (TypeError, ValueError, OverflowError):  # 10**400 is an integer that no float holds
        number = -1.0
    if value is not None and not 0 <= number <= 1:
        raise EmomtlError(f"label {quoted(name)} has the value {quoted(value)}", remedy="0..1, or None for unknown")
    return number
