"""Scores of one task on one split: by metric, by label, and on each grouping of its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from emomtl.contracts.heads import MetricFacts, MultiLabel, Regression, Row, SingleLabel
from emomtl.errors import clean
from emomtl.metrics.tuning import TaskTuning, cross_fitted_decisions, tuned_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.contracts.taxonomy import Taxonomy
    from emomtl.data.reading import BadRows

Decide = Callable[["NDArray[Any]", "NDArray[Any]"], Mapping[str, "NDArray[Any]"]]
"""From targets and probabilities (n, L) to decisions at tuned thresholds, by way of tuning."""

OWN = (SingleLabel, MultiLabel, Regression)
"""The heads of emomtl itself; a subclass is somebody else's code."""


@dataclass(frozen=True)
class Tuned:
    """How rows are decided at tuned thresholds, and a sentence on that for the metrics' reader."""

    decide: Decide
    sentence: str

    @classmethod
    def on_validation(cls, tuning: TaskTuning) -> Tuned:
        """For rows that the thresholds have not seen: at those that were tuned on validation."""
        sentence = f"metrics with `_tuned`: thresholds tuned on {tuning.rows:,} validation rows"
        return cls(lambda targets, probabilities: tuning.decisions(probabilities), sentence)

    @classmethod
    def cross_fitted(cls) -> Tuned:
        """For validation itself: each fifth of the rows at thresholds tuned on the other four."""
        how = "each fifth of these rows at thresholds tuned on the other four"
        return cls(cross_fitted_decisions, f"metrics with `_tuned` are cross-fitted: {how}")


@dataclass(frozen=True)
class TaskScores:
    """The scores of one task: `metrics` by full name, `tables` of labels by grouping.

    An undefined metric (`macro_f1`, `ekman/macro_f1`) is None. The grouping "" is that of the
    task's own labels. `facts` are what the head says of the metrics: which one stands for the task,
    of which less is better, which are shown. A report needs them, since it reads a run without the
    head's code. For the same reason `head` says its kind, what it answers with and whether it is
    one of emomtl's own, and `groupings` the members of each coarser name.
    """

    rows: int
    metrics: dict[str, float | None]
    tables: dict[str, list[Row]]
    facts: MetricFacts = field(default_factory=MetricFacts)
    unlabelled: int = 0
    left_out: int = 0
    remarks: tuple[str, ...] = ()
    head: dict[str, Any] = field(default_factory=dict)
    groupings: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    tuned: str = ""

    def with_tuned(
        self,
        tuned: Tuned | None,
        head: Head,
        taxonomy: Taxonomy | None,
        targets: NDArray[Any],
        probabilities: NDArray[Any],
    ) -> TaskScores:
        """These scores with the metrics at tuned thresholds, where there are any."""
        if tuned is None or not head.by_thresholds or not len(targets):
            return self
        decisions = tuned.decide(targets, probabilities)
        metrics = self.metrics | tuned_metrics(head, taxonomy, targets, decisions)
        facts = MetricFacts.of(head, metrics)
        return replace(self, metrics=metrics, facts=facts, tuned=tuned.sentence)

    @property
    def defined(self) -> dict[str, float]:
        """The metrics that are defined."""
        return {name: value for name, value in self.metrics.items() if value is not None}

    @property
    def said(self) -> list[str]:
        """All notes for a reader: unscored rows, how targets are taken, what is undefined."""
        notes = []
        if self.unlabelled:
            total = self.rows + self.unlabelled
            notes.append(f"{self.unlabelled:,} of {total:,} rows have no label and are not scored")
        if self.left_out:
            notes.append(f"{self.left_out:,} bad row(s) are left out of the score")
        if self.tuned:
            notes.append(self.tuned)
        return [*notes, *self.remarks, *self.undefined]

    @property
    def undefined(self) -> list[str]:
        """What could not be computed, and why, in words."""
        undefined = [name for name, value in self.metrics.items() if value is None]
        absent: list[str] = []
        only_predicted: list[str] = []
        never_predicted: list[str] = []
        unranked: list[str] = []
        in_all_rows: list[str] = []
        for row in self.tables[""]:
            label = str(row["label"])
            if "predicted" in row:
                if row["support"] and not row["predicted"]:
                    never_predicted.append(label)
                elif not row["support"]:
                    (only_predicted if row["predicted"] else absent).append(label)
            if "auroc" in row:
                if not row["support"]:
                    unranked.append(label)
                elif row["auroc"] is None:
                    in_all_rows.append(label)
        sentences = (
            (undefined, "{}: undefined on these rows"),
            (absent, "no row has {}: left out of macro means where nothing was predicted"),
            (
                only_predicted,
                "no row has, but some were predicted to have {}: recall counts as 0",
            ),
            (never_predicted, "nothing was predicted as {}: precision counts as 0"),
            (unranked, "no row has {}: left out of macro average precision and AUROC"),
            (in_all_rows, "every row has {}: left out of macro AUROC"),
        )
        # `replace` and not `format`: a label may have braces
        return [text.replace("{}", ", ".join(names)) for names, text in sentences if names]

    def as_json(self) -> dict[str, Any]:
        """What is written into a run's scores."""
        scores = {
            "rows": self.rows,
            "metrics": self.metrics,
            **self.facts.as_json(),
            "head": self.head,
            "groupings": self.groupings,
            "tables": self.tables,
            "undefined": self.undefined,
        }
        for name in ("unlabelled", "left_out", "remarks", "tuned"):
            value = getattr(self, name)
            if value:
                scores[name] = list(value) if name == "remarks" else value
        return scores


def score(
    head: Head,
    taxonomy: Taxonomy | None,
    targets: NDArray[Any],
    logits: NDArray[Any],
    unseen: tuple[str, ...] = (),
    bad: BadRows | None = None,
    tuned: Tuned | None = None,
) -> TaskScores:
    """All metrics from targets (n, ...) and logits (n, L); rows without any target are left out.

    `unseen` are labels that targets have after those of the taxonomy. The model never predicts
    them, so they have a probability of 0: their rows are wrong, and each counts in macro means as a
    label that is never found. `bad` are rows that were skipped. With `tuned` the metrics at tuned
    thresholds are among them.
    """
    import numpy as np

    known = head.present(targets)
    targets, probabilities = targets[known], head.probabilities(logits[known])
    names, remarks = head.outputs(taxonomy), head.remarks(targets)
    if unseen:
        remarks = [_unseen(head, targets, unseen, len(names)), *remarks]
        names = (*names, *unseen)
        never = np.zeros((len(probabilities), len(unseen)))
        probabilities = np.concatenate([probabilities, never], axis=1)
    metrics = dict(head.metrics(targets, probabilities))
    tables = {"": head.table(targets, probabilities, names)}
    groupings: dict[str, dict[str, list[str]]] = {}
    if taxonomy is not None:
        for grouping in taxonomy.groupings:
            folded = head.fold(targets, probabilities, grouping, taxonomy)
            for name, value in head.metrics(*folded).items():
                metrics[f"{grouping.name}/{name}"] = value
            tables[grouping.name] = head.table(*folded, grouping.names)
            members = {name: list(labels) for name, labels in grouping.groups.items()}
            groupings[grouping.name] = members
    unfit, unread = (bad.unfit, bad.unread) if bad is not None else (0, 0)
    scores = TaskScores(
        rows=int(known.sum()),
        metrics=metrics,
        tables=tables,
        facts=MetricFacts.of(head, metrics),
        unlabelled=int((~known).sum()) - unfit,
        left_out=unfit + unread,
        remarks=tuple(remarks),
        head={"kind": head.kind, "answers": head.answers, "of_emomtl": type(head) in OWN},
        groupings=groupings,
    )
    return scores.with_tuned(tuned, head, taxonomy, targets, probabilities)


def _unseen(head: Head, targets: NDArray[Any], unseen: tuple[str, ...], labels: int) -> str:
    """How many rows have a label that the model does not have; it has the first `labels` ones."""
    decided = head.decided(targets)
    by_label = decided.ndim > 1
    is_unseen = (decided[:, labels:] > 0).any(axis=1) if by_label else decided >= labels
    shown = ", ".join(f"'{clean(label, 40)}'" for label in unseen[:8])
    rows = f"{int(is_unseen.sum()):,} row(s) count as wrong"
    return f"{rows}: the model does not have their label ({shown})"


def metric_names(head: Head, taxonomy: Taxonomy | None) -> list[str]:
    """The names that `score` gives for a task, without scoring anything.

    Labels that are not learned yet change no metric's name, so any two stand for them.
    """
    import numpy as np

    from emomtl.contracts.taxonomy import Taxonomy

    if taxonomy is None and head.answers == "labels":
        taxonomy = Taxonomy(["one", "other"])

    targets = np.asarray([head.encode(None, taxonomy)])
    logits = np.zeros((1, len(head.outputs(taxonomy))))
    return list(score(head, taxonomy, targets, logits).metrics)
