"""What the sampler was to do, and what it did: expected and realised shares of each task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emomtl.contracts.analysis import Cell, Table
from emomtl.metrics.significance import chi_squared
from emomtl.report.collect import RunResult

COLUMNS = (
    *("run", "task", "expected share", "expected share of examples"),
    *("share of examples", "share of updates", "examples", "updates", "passes", "chi-squared p"),
)
FEW = 5
"""Below so many expected updates the chi-squared approximation is poor (the usual rule)."""

NOTE = (
    "expected share: the mean probability over all steps; of examples: with the batch sizes of"
    " the run"
)
SAMPLED = (
    "probabilities are sampled at logged steps, not at every step: expected figures are approximate"
)


def sampling_table(results: Sequence[RunResult]) -> list[Table]:
    """Expected beside realised shares, a row for each run and task; no table without logged steps.

    `chi-squared p` compares updates with the summed probabilities (Pearson's test), only where one
    task is drawn a step.
    """
    rows: list[tuple[Cell, ...]] = []
    runs_by_note: dict[str, list[str]] = {}
    for result in results:
        if not result.steps:
            continue
        draws, examples = expected_draws(result), expected_examples(result)[-1]
        p, notes = _chi_squared(result, draws)
        for note in notes:
            runs_by_note.setdefault(note, []).append(result.name)
        for task in result.tasks:
            rows.append(
                (
                    result.name,
                    task,
                    _share(draws, task),
                    _share(examples, task),
                    _share(result.counts, task),
                    _share(result.updates, task),
                    result.counts[task],
                    result.updates[task],
                    result.passes[task],
                    p,
                )
            )
    if not rows:
        return []
    named = [f"{', '.join(names)}: {note}" for note, names in runs_by_note.items()]
    return [Table("Realised sampling in training", COLUMNS, tuple(rows), (NOTE, *named))]


def expected_draws(result: RunResult) -> dict[str, float]:
    """The sum of each task's probability over steps.

    A logged probability stands for the steps since the log before it.
    """
    total = dict.fromkeys(result.tasks, 0.0)
    for steps, event in _logged_spans(result):
        for task in total:
            total[task] += steps * event["probabilities"].get(task, 0.0)
    return total


def expected_examples(result: RunResult) -> list[dict[str, float]]:
    """The examples that each task should have had by each logged step, were every row labelled."""
    so_far = dict.fromkeys(result.tasks, 0.0)
    by_step = []
    for steps, event in _logged_spans(result):
        for task, examples in _examples_of_step(result, event["probabilities"]).items():
            so_far[task] += steps * examples
        by_step.append(dict(so_far))
    return by_step


def exact(result: RunResult) -> bool:
    """Whether every step's probabilities were logged."""
    return all(steps == 1 for steps, _ in _logged_spans(result))


def _logged_spans(result: RunResult) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each step event with the number of steps that it stands for."""
    before = 0
    for event in result.steps:
        yield event["step"] - before, event
        before = event["step"]


def _examples_of_step(result: RunResult, probabilities: Mapping[str, float]) -> dict[str, float]:
    """The examples of each task that a step is expected to hold.

    One task a step: its batch, when it is drawn. Every task: a batch of its own where the manifest
    gives one; the others share the sum of their batches by probability. A task that has stopped has
    no probability, and no examples.
    """
    manifest = result.manifest
    examples: dict[str, float] = {}
    shared: dict[str, int] = {}
    for task in result.tasks:
        if task not in probabilities:
            continue
        own = manifest.tasks[task].batch_size
        batch = own or manifest.train.batch_size
        if manifest.sampler.per_step == "one":
            examples[task] = probabilities[task] * batch
        elif own is not None:
            examples[task] = float(batch)
        else:
            shared[task] = batch
    total = sum(probabilities[task] for task in shared) or 1.0
    for task in shared:
        examples[task] = probabilities[task] / total * sum(shared.values())
    return examples


def _share(parts: Mapping[str, float], task: str) -> float | None:
    total = sum(parts.values())
    if not total:
        return None
    return parts[task] / total


def _chi_squared(
    result: RunResult, draws: Mapping[str, float]
) -> tuple[float | str | None, list[str]]:
    """The p-value of the updates under the expectation, or why there is none; and notes on it."""
    if len(result.tasks) == 1:
        return "not applicable", []
    is_exact = exact(result)
    notes = []
    if not is_exact:
        notes.append(SAMPLED)
    if result.manifest.sampler.per_step != "one":
        return "not applicable", notes
    updates, logged = result.updates, [event["probabilities"] for event in result.steps]
    if not sum(draws.values()) or not sum(updates.values()):
        return None, notes
    largest = [max(probabilities.values(), default=0) for probabilities in logged]
    if max(largest) >= 1 and not is_exact:
        notes.append(
            "no chi-squared test: the sampler does not draw, and not every step was logged"
        )
        return "not applicable", notes
    per_draw = sum(updates.values()) / sum(draws.values())
    observed, expected = [], []
    for task, count in updates.items():
        if draws[task] > 0:
            observed.append(count)
            expected.append(draws[task] * per_draw)
        elif count:
            return 0.0, [*notes, "a task was trained that had no probability"]
    if len(expected) < 2:
        return None, notes
    if min(expected) < FEW:
        notes.append(f"fewer than {FEW} updates are expected of a task: its chi-squared p is rough")
    if any(probabilities != logged[0] for probabilities in logged):
        change = "its probabilities change"
        notes.append(f"{change}, so that its chi-squared p is rather too high than too low")
    return chi_squared(observed, expected), notes
