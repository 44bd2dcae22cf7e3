"""Figures of one task on one split: by full name, by label, and on every coarser grouping of its
labels.
"""

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
"""Decisions (n, L) at tuned thresholds, by the way in which they were tuned, from targets and
probabilities.
"""


@dataclass(frozen=True)
class Tuned:
    """How the rows of a task are decided at tuned thresholds, and a sentence for the reader of the
    metrics.
    """

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
        sentence = (
            "metrics with `_tuned` are cross-fitted: each fifth of these rows at thresholds tuned"
            " on the other four"
        )
        return cls(cross_fitted_decisions, sentence)


OWN = (SingleLabel, MultiLabel, Regression)
"""The heads of emomtl itself; a subclass is somebody else's code."""


@dataclass(frozen=True)
class TaskScores:
    """`metrics` by full name (`macro_f1`, `ekman/macro_f1`; None: undefined), `tables` by grouping
    ('': its own labels).

    `facts` are what the head says of the metrics: which one stands for the task, of which less is
    better, which are shown. A report needs them, since it reads a run without the head's code. For
    the same reason `head` says its kind, what it answers with and whether it is one of emomtl's
    own, and `groupings` the members of each coarser name.
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
        """The same with the metrics at tuned thresholds; as it is for a head that has none, or
        without them.
        """
        if tuned is None or not head.by_thresholds or not len(targets):
            return self
        metrics = self.metrics | tuned_metrics(
            head, taxonomy, targets, tuned.decide(targets, probabilities)
        )
        return replace(
            self, metrics=metrics, facts=MetricFacts.of(head, metrics), tuned=tuned.sentence
        )

    @property
    def defined(self) -> dict[str, float]:
        """The figures that are defined."""
        return {name: value for name, value in self.metrics.items() if value is not None}

    @property
    def said(self) -> list[str]:
        """All that a reader of the metrics has to know: rows that are not scored, how targets are
        taken, what is undefined.
        """
        total = self.rows + self.unlabelled
        left_out = (
            [f"{self.unlabelled:,} of {total:,} rows have no label and are not scored"]
            if self.unlabelled
            else []
        )
        left_out += (
            [f"{self.left_out:,} bad row(s) are left out of the score"] if self.left_out else []
        )
        return [*left_out, *([self.tuned] if self.tuned else []), *self.remarks, *self.undefined]

    @property
    def undefined(self) -> list[str]:
        """What could not be computed, and why, in words."""
        names = [name for name, value in self.metrics.items() if value is None]
        said = [f"{', '.join(names)}: undefined on these rows"] if names else []
        counted = [row for row in self.tables[""] if "predicted" in row]
        absent = [
            str(row["label"]) for row in counted if not row["support"] and not row["predicted"]
        ]
        only = [str(row["label"]) for row in counted if not row["support"] and row["predicted"]]
        never = [str(row["label"]) for row in counted if row["support"] and not row["predicted"]]
        said += (
            [f"no row has {', '.join(absent)}: left out of macro means where nothing was predicted"]
            if absent
            else []
        )
        said += (
            [f"no row has, but some were predicted to have {', '.join(only)}: recall counts as 0"]
            if only
            else []
        )
        said += (
            [f"nothing was predicted as {', '.join(never)}: precision counts as 0"] if never else []
        )
        ranked = [row for row in self.tables[""] if "auroc" in row]
        without = [str(row["label"]) for row in ranked if not row["support"]]
        full = [str(row["label"]) for row in ranked if row["support"] and row["auroc"] is None]
        said += (
            [f"no row has {', '.join(without)}: left out of macro average precision and AUROC"]
            if without
            else []
        )
        return said + (
            [f"every row has {', '.join(full)}: left out of macro AUROC"] if full else []
        )

    def as_json(self) -> dict[str, Any]:
        """What is written into a run's scores."""
        told = {
            "rows": self.rows,
            "metrics": self.metrics,
            **self.facts.as_json(),
            "head": self.head,
            "groupings": self.groupings,
            "tables": self.tables,
            "undefined": self.undefined,
        }
        odd = {
            "unlabelled": self.unlabelled,
            "left_out": self.left_out,
            "remarks": list(self.remarks),
            "tuned": self.tuned,
        }
        return told | {name: value for name, value in odd.items() if value}


def score(
    head: Head,
    taxonomy: Taxonomy | None,
    targets: NDArray[Any],
    logits: NDArray[Any],
    unseen: tuple[str, ...] = (),
    bad: BadRows | None = None,
    tuned: Tuned | None = None,
) -> TaskScores:
    """All figures from targets (n, ...) and logits (n, L); rows without any target are left out.

    `unseen` are labels that targets have after those of the taxonomy. The model never answers with
    them, so they have a probability of 0: their rows are wrong, and each counts in macro means as a
    label that is never found. `bad` are rows that were skipped. With `tuned` the metrics at tuned
    thresholds are among them.
    """
    import numpy as np

    known = head.present(targets)
    targets, probabilities = targets[known], head.probabilities(logits[known])
    names, remarks = head.outputs(taxonomy), head.remarks(targets)
    if unseen:
        names = (*names, *unseen)
        probabilities = np.concatenate(
            [probabilities, np.zeros((len(probabilities), len(unseen)))], axis=1
        )
        remarks = [_unseen(head, targets, unseen, len(names) - len(unseen)), *remarks]
    metrics = dict(head.metrics(targets, probabilities))
    tables = {"": head.table(targets, probabilities, names)}
    for grouping in taxonomy.groupings if taxonomy is not None else ():
        assert taxonomy is not None
        folded = head.fold(targets, probabilities, grouping, taxonomy)
        metrics |= {
            f"{grouping.name}/{name}": value for name, value in head.metrics(*folded).items()
        }
        tables[grouping.name] = head.table(*folded, grouping.names)
    unfit, unread = (bad.unfit, bad.unread) if bad is not None else (0, 0)
    unlabelled = int((~known).sum()) - unfit
    about_rows = (unlabelled, unfit + unread, tuple(remarks))
    about_head = {"kind": head.kind, "answers": head.answers, "of_emomtl": type(head) in OWN}
    scores = TaskScores(
        int(known.sum()),
        metrics,
        tables,
        MetricFacts.of(head, metrics),
        *about_rows,
        about_head,
        _members(taxonomy),
    )
    return scores.with_tuned(tuned, head, taxonomy, targets, probabilities)


def _unseen(head: Head, targets: NDArray[Any], unseen: tuple[str, ...], known: int) -> str:
    """How many rows have a label that the model does not have; it has the first `known` ones."""
    decided = head.decided(targets)
    beyond = decided >= known if decided.ndim == 1 else (decided[:, known:] > 0).any(axis=1)
    rows = int(beyond.sum())
    shown = ", ".join(f"'{clean(label, 40)}'" for label in unseen[:8])
    return f"{rows:,} row(s) count as wrong: the model does not have their label ({shown})"


def _members(taxonomy: Taxonomy | None) -> dict[str, dict[str, list[str]]]:
    """By grouping the members of each coarser name, as JSON holds them."""
    groupings = taxonomy.groupings if taxonomy is not None else ()
    return {
        one.name: {name: list(members) for name, members in one.groups.items()} for one in groupings
    }


def metric_names(head: Head, taxonomy: Taxonomy | None) -> list[str]:
    """The names that `score` gives for a task, without scoring anything."""
    import numpy as np

    targets = np.asarray([head.encode(None, taxonomy)])
    logits = np.zeros((1, len(head.outputs(taxonomy))))
    return list(score(head, taxonomy, targets, logits).metrics)
