"""What a head says of the metrics of a task, saved with them so that no reader guesses by names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emomtl.contracts.heads.declaration import Head


@dataclass(frozen=True)
class MetricFacts:
    """Facts about the metrics of one task, by their full names.

    - `main_metric` stands for the task; None where it has no metric at all.
    - `errors` are the metrics of which less is better, those on groupings included.
    - `headline` are the metrics of a short table and `reported` those of a report, in order.
    """

    main_metric: str | None = None
    errors: tuple[str, ...] = ()
    headline: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()

    @classmethod
    def of(cls, head: Head, metrics: Iterable[str]) -> MetricFacts:
        """What a head says of these metrics."""
        names = list(metrics)
        errors = tuple(name for name in names if head.less_is_better(name))
        headline, reported = head.headline_metrics(names), head.reported_metrics(names)
        return cls(head.main_metric, errors, tuple(headline), tuple(reported))

    @classmethod
    def from_json(cls, scores: Mapping[str, Any], default: MetricFacts) -> MetricFacts:
        """The facts among a task's scores; `default` has those that are missing there."""
        main = scores.get("main_metric")
        has_main = isinstance(main, str) and main in scores["metrics"]
        lists = {}
        for key in ("errors", "headline", "reported"):
            names = scores.get(key)
            if not isinstance(names, list):
                names = getattr(default, key)
            lists[key] = tuple(map(str, names))
        return cls(main if has_main else default.main_metric, **lists)

    def less_is_better(self, metric: str) -> bool:
        """Whether a metric is an error."""
        return metric in self.errors

    def as_json(self) -> dict[str, Any]:
        """The facts as JSON holds them."""
        return {
            "main_metric": self.main_metric,
            "errors": list(self.errors),
            "headline": list(self.headline),
            "reported": list(self.reported),
        }
