"""What a head says of the metrics of a task, kept beside them so that no reader has to guess by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MOST_HEADLINE, MOST_REPORTED = 4, 12
"""How many metrics are shown of a head that does not say which: in a short table, and in a report."""


class SaysMetrics(Protocol):
    """What of a head says something of metrics."""

    @property
    def main_metric(self) -> str: ...

    def less_is_better(self, metric: str) -> bool: ...

    def headline_metrics(self, metrics: Sequence[str]) -> list[str]: ...

    def reported_metrics(self, metrics: Sequence[str]) -> list[str]: ...


@dataclass(frozen=True)
class MetricFacts:
    """Facts about the metrics of one task, by their full names.

    `main_metric` is the metric that stands for the task; None where it has no metric at all. `errors`
    are the metrics of which less is better, those on groupings included. `headline` are the metrics of
    a short table and `reported` those of a report, each in the order in which they are shown.
    """

    main_metric: str | None = None
    errors: tuple[str, ...] = ()
    headline: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()

    @classmethod
    def of(cls, head: SaysMetrics, metrics: Iterable[str]) -> MetricFacts:
        """What a head says of these metrics."""
        names = list(metrics)
        errors = tuple(name for name in names if head.less_is_better(name))
        headline, reported = head.headline_metrics(names), head.reported_metrics(names)
        return cls(head.main_metric, errors, tuple(headline), tuple(reported))

    @classmethod
    def from_json(cls, written: Mapping[str, Any], default: MetricFacts) -> MetricFacts:
        """The facts that stand among a task's scores; those that are missing there are taken from `default`."""
        main = written.get("main_metric")
        has_main = isinstance(main, str) and main in written["metrics"]

        def names(key: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
            value = written.get(key)
            return tuple(map(str, value)) if isinstance(value, list) else otherwise

        return cls(
            main if has_main else default.main_metric,
            names("errors", default.errors),
            names("headline", default.headline),
            names("reported", default.reported),
        )

    def less_is_better(self, metric: str) -> bool:
        """Whether a metric is an error."""
        return metric in self.errors

    def as_json(self) -> dict[str, Any]:
        """The facts as JSON holds them."""
        lists = {"errors": self.errors, "headline": self.headline, "reported": self.reported}
        return {"main_metric": self.main_metric, **{key: list(names) for key, names in lists.items()}}


def first_metrics(names: Sequence[str], most: int) -> list[str]:
    """The first metrics of the labels themselves; those on groupings have a `/` in their names."""
    return [name for name in names if "/" not in name][:most]
