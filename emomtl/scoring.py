"""Figures of one task on one split: by full name, by label, and on every coarser grouping of its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emomtl.heads import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.heads import Head
    from emomtl.taxonomy import Taxonomy


@dataclass(frozen=True)
class TaskScores:
    """`metrics` by full name (`macro_f1`, `ekman/macro_f1`; None: undefined), `tables` by grouping ('': its own labels).

    `main_metric` is the one that stands for the task, `errors` are the metrics of which less is better: what a report needs
    to know of the head, so that it reads a run without the head's code.
    """

    rows: int
    metrics: dict[str, float | None]
    tables: dict[str, list[Row]]
    main_metric: str = ""
    errors: tuple[str, ...] = ()

    @property
    def defined(self) -> dict[str, float]:
        """The figures that are defined."""
        return {name: value for name, value in self.metrics.items() if value is not None}

    @property
    def undefined(self) -> list[str]:
        """What could not be computed, and why, in words."""
        names = [name for name, value in self.metrics.items() if value is None]
        said = [f"{', '.join(names)}: undefined on these rows"] if names else []
        counted = [row for row in self.tables[""] if "predicted" in row]
        absent = [str(row["label"]) for row in counted if not row["support"] and not row["predicted"]]
        only = [str(row["label"]) for row in counted if not row["support"] and row["predicted"]]
        never = [str(row["label"]) for row in counted if row["support"] and not row["predicted"]]
        said += [f"no row has {', '.join(absent)}: left out of macro means where nothing was predicted"] if absent else []
        said += [f"no row has, but some were predicted to have {', '.join(only)}: recall counts as 0"] if only else []
        return said + ([f"nothing was predicted as {', '.join(never)}: precision counts as 0"] if never else [])

    def as_json(self) -> dict[str, Any]:
        """What is written into a run's scores."""
        return {
            "rows": self.rows,
            "metrics": self.metrics,
            "main_metric": self.main_metric,
            "errors": list(self.errors),
            "tables": self.tables,
            "undefined": self.undefined,
        }


def score(head: Head, taxonomy: Taxonomy | None, targets: NDArray[Any], logits: NDArray[Any]) -> TaskScores:
    """All figures from targets (n, ...) and logits (n, L); rows without any target are left out."""
    known = head.present(targets)
    targets, probabilities = targets[known], head.probabilities(logits[known])
    names = head.outputs(taxonomy)
    metrics = dict(head.metrics(targets, probabilities))
    tables = {"": head.table(targets, probabilities, names)}
    for grouping in taxonomy.groupings if taxonomy is not None else ():
        assert taxonomy is not None
        folded = head.fold(targets, probabilities, grouping, taxonomy)
        metrics |= {f"{grouping.name}/{name}": value for name, value in head.metrics(*folded).items()}
        tables[grouping.name] = head.table(*folded, grouping.names)
    errors = tuple(name for name in metrics if head.less_is_better(name))
    return TaskScores(int(known.sum()), metrics, tables, head.main_metric, errors)


def metric_names(head: Head, taxonomy: Taxonomy | None) -> list[str]:
    """The names that `score` gives for a task, without scoring anything."""
    import numpy as np

    targets = np.asarray([head.encode(None, taxonomy)])
    logits = np.zeros((1, len(head.outputs(taxonomy))))
    return list(score(head, taxonomy, targets, logits).metrics)
