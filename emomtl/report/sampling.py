"""What the sampler was to do, and what it did: expected and realised shares of examples and of updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from emomtl.contracts.analysis import Cell, Table
from emomtl.report.collect import RunResult

COLUMNS = (
    *("run", "task", "expected share", "expected share of examples", "share of examples", "share of updates"),
    *("examples", "updates", "passes", "chi-squared p"),
)
FEW = 5
"""Below so many expected updates the chi-squared approximation is poor (the usual rule)."""
NOTE = "expected share: the mean probability over all steps; of examples: with the batch sizes of the run"


def sampling_table(results: Sequence[RunResult]) -> list[Table]:
    """Expected beside realised shares, a row for each run and task; no table where no run logged a step.

    `chi-squared p` compares updates with the summed probabilities (Pearson's test), only where one task is drawn a step.
    """
    rows: list[tuple[Cell, ...]] = []
    notes: dict[str, list[str]] = {}
    for result in results:
        if not result.steps:
            continue
        draws, examples = expected_draws(result), expected_examples(result)[-1]
        p, said = _chi_squared(result, draws)
        for note in said:
            notes.setdefault(note, []).append(result.name)
        for task in result.tasks:
            expected = (_share(draws, task), _share(examples, task))
            realised = (_share(result.counts, task), _share(result.updates, task))
            had = (result.counts[task], result.updates[task], result.passes[task])
            rows.append((result.name, task, *expected, *realised, *had, p))
    told = (NOTE, *(f"{', '.join(names)}: {note}" for note, names in notes.items()))
    return [Table("Realised sampling in training", COLUMNS, tuple(rows), told)] if rows else []


def expected_draws(result: RunResult) -> dict[str, float]:
    """The sum over steps of each task's probability; a logged one stands for the steps since the log before it."""
    total = dict.fromkeys(result.tasks, 0.0)
    for n, event in _spans(result):
        for task in total:
            total[task] += n * event["probabilities"].get(task, 0.0)
    return total


def expected_examples(result: RunResult) -> list[dict[str, float]]:
    """The examples that each task should have had by each logged step, were every row labelled."""
    so_far = dict.fromkeys(result.tasks, 0.0)
    found = []
    for n, event in _spans(result):
        for task, examples in _a_step(result, event["probabilities"]).items():
            so_far[task] += n * examples
        found.append(dict(so_far))
    return found


def exact(result: RunResult) -> bool:
    """Whether every step's probabilities were logged."""
    return all(n == 1 for n, _ in _spans(result))


def _spans(result: RunResult) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each step event with the number of steps that it stands for."""
    before = 0
    for event in result.steps:
        yield event["step"] - before, event
        before = event["step"]


def _a_step(result: RunResult, probabilities: dict[str, float]) -> dict[str, float]:
    """The examples of each task that a step is expected to hold.

    One task a step: its batch, when it is drawn. Every task: a batch of its own where the manifest gives one; the others
    share the sum of their batches by probability. A task that has stopped has no probability, and no examples.
    """
    trained = [task for task in result.tasks if task in probabilities]
    tables, train = {task: result.manifest.tasks[task] for task in trained}, result.manifest.train
    batches = {task: table.batch_size or train.batch_size for task, table in tables.items()}
    if result.manifest.sampler.per_step == "one":
        return {task: probabilities.get(task, 0.0) * batches[task] for task in batches}
    shared = {task: probabilities.get(task, 0.0) for task, table in tables.items() if table.batch_size is None}
    pool, whole = sum(batches[task] for task in shared), sum(shared.values()) or 1.0
    return {task: shared[task] / whole * pool if task in shared else float(batches[task]) for task in batches}


def _share(parts: dict[str, int] | dict[str, float], task: str) -> float | None:
    whole = sum(parts.values())
    return parts[task] / whole if whole else None


def _chi_squared(result: RunResult, draws: dict[str, float]) -> tuple[float | str | None, list[str]]:
    """The p-value of the updates under the expectation (or why there is none), and what to know about it."""
    from scipy.stats import chisquare

    notes: list[str] = []
    if len(result.tasks) == 1:
        return "not applicable", notes
    if not exact(result):
        notes.append("probabilities are sampled at logged steps, not at every step: expected figures are approximate")
    if result.manifest.sampler.per_step != "one":
        return "not applicable", notes
    had, logged = result.updates, [event["probabilities"] for event in result.steps]
    certain = any(p >= 1.0 for probabilities in logged for p in probabilities.values())
    whole, number = sum(draws.values()), sum(had.values())
    if not whole or not number:
        return None, notes
    if certain and not exact(result):
        notes.append("no chi-squared test: the sampler does not draw, and not every step was logged")
        return "not applicable", notes
    if any(had[task] and not draws[task] for task in had):
        return 0.0, [*notes, "a task was trained that had no probability"]
    cells = [task for task in had if draws[task] > 0]
    if len(cells) < 2:
        return None, notes
    expected = [draws[task] / whole * number for task in cells]
    if min(expected) < FEW:
        notes.append(f"fewer than {FEW} updates are expected of a task: its chi-squared p is rough")
    if any(probabilities != logged[0] for probabilities in logged):
        notes.append("its probabilities change, so that its chi-squared p is rather too high than too low")
    return float(chisquare([had[task] for task in cells], expected).pvalue), notes
