"""Facts that runs of an older emomtl did not write as fields: the only place that looks for them
elsewhere.

A run of today writes what its heads say of their metrics into `scores.json`, and into
`metrics.jsonl` how long it trained and why it stopped. Older runs must still open: their metrics
are taken to be those of the head that they name, and the rest is read from their `log.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.heads import MetricFacts, MultiLabel, Regression, SingleLabel
from emomtl.contracts.heads.declaration import MOST_HEADLINE, MOST_REPORTED, without_groupings
from emomtl.errors import clean

if TYPE_CHECKING:
    from emomtl.contracts.heads import Head
    from emomtl.manifest import HeadTable

HEADS: Mapping[str, Head] = {
    head.kind: head for head in (SingleLabel(), MultiLabel(), Regression())
}
"""The heads of emomtl itself; what they say of metrics depends on none of their options."""

ERRORS = ("rmse", "masked_nll", "perplexity", "log_loss")
"""How the names of errors begin, of heads that older runs do not name."""

TRAINED = re.compile(r"after (\d+) steps; ([\d.]+) s since the start or the last resume$")
"""The line of a log that says how long a run trained."""

STOPPED = re.compile(r"stopped at step (\d+): (.*)")
"""The line of a log that says why a run stopped with an error."""

LOG_TAIL = 16_384
"""Bytes at the end of a log in which its last line is looked for."""


def metric_facts(scores: Mapping[str, Any], table: HeadTable | None = None) -> MetricFacts:
    """What a task's head says of its metrics, as the task's scores record it.

    Scores of an older emomtl lack `headline` and `reported`, and those of the oldest ones
    `main_metric` and `errors` too. What they lack is taken from the head that they name, else from
    the manifest's `table`, else from the head that has such metrics. A head of a plugin is not
    asked, since a report runs none of a run's code: its first metric is taken for the main one, and
    `ERRORS` tell of which less is better.
    """
    names = list(scores["metrics"])
    if all(key in scores for key in ("main_metric", "errors", "headline", "reported")):
        default = MetricFacts()
    elif (head := _head_of(scores, names, table)) is not None:
        default = MetricFacts.of(head, names)
    else:
        default = _by_names(names)
    return MetricFacts.from_json(scores, default)


def _head_of(scores: Mapping[str, Any], names: list[str], table: HeadTable | None) -> Head | None:
    """The head of emomtl itself that gave these scores; None for another one."""
    about = scores.get("head")
    if isinstance(about, dict) and about.get("of_emomtl") and about.get("kind") in HEADS:
        return HEADS[about["kind"]]
    if table is not None and table.use in HEADS:
        return HEADS[table.use]
    # The oldest runs name no head where it was the task's own, and a head of a plugin may derive
    # from one of emomtl: the metrics tell which one.
    if {"top1_accuracy", "macro_f1"} <= set(names):
        return HEADS["single-label"]
    if "pearson_r" in names:
        return HEADS["regression"]
    return HEADS["multi-label"] if {"macro_f1", "subset_accuracy"} <= set(names) else None


def _by_names(names: list[str]) -> MetricFacts:
    """Facts of the metrics of an unknown head, guessed from their names."""
    main = "macro_f1" if "macro_f1" in names else next(iter(names), None)
    errors = tuple(name for name in names if name.rpartition("/")[2].startswith(ERRORS))
    shown = tuple(without_groupings(names))
    return MetricFacts(main, errors, shown[:MOST_HEADLINE], shown[:MOST_REPORTED])


def seconds_trained(log: Path) -> list[float]:
    """Seconds of each part of a run that ended in order, from its log; empty where it cannot be
    read.
    """
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [float(match[2]) for match in map(TRAINED.search, lines) if match is not None]


def stop_in_log(log: Path) -> tuple[int, str] | None:
    """The step at which a run stopped with an error and the error, where its log ends with that."""
    try:
        with open(log, "rb") as handle:
            handle.seek(max(0, log.stat().st_size - LOG_TAIL))
            lines = handle.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    match = STOPPED.fullmatch(lines[-1]) if lines else None
    return (int(match[1]), clean(match[2], 300)) if match is not None else None
