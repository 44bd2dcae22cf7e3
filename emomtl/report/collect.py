"""Read what runs left behind, finished or not, and say of each what is missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.weighting import LARGE
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.run import Run
from emomtl.run.older import seconds_trained, stop_in_log
from emomtl.safety.files import damaged

if TYPE_CHECKING:
    from emomtl.manifest import Manifest

NUMBERS = ("losses", "weights", "probabilities", "counts", "updates")
"""What a step event says of each task."""


@dataclass(frozen=True)
class RunResult:
    """One run as its folder tells it; `name` is its own among the runs collected together.

    `evaluations` are the entries of scores.json, `steps` and `validations` the step and evaluation
    events by rising step, `finish` the event that ended the run. `stopped` says where and why the
    run broke off with an error, `seconds` how long each part of it trained that ended in order, and
    `missing` in words what an unfinished run lacks.
    """

    name: str
    folder: Path
    manifest: Manifest
    environment: Mapping[str, Any]
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)
    finish: dict[str, Any] | None = None
    stopped: str = ""
    seconds: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The trained tasks in the manifest's order."""
        return tuple(name for name, table in self.manifest.tasks.items() if table.trained)

    @property
    def baseline(self) -> str:
        """What a baseline without an encoder is, in words; empty for a run that was trained."""
        return str(self.environment.get("baseline", ""))

    @property
    def step(self) -> int:
        """The last step that is known of; 0 where none was logged."""
        ends: list[int] = [event["step"] for event in self.steps[-1:]]
        if self.finish:
            ends.append(self.finish["step"])
        return max(ends, default=0)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Labelled examples that each task had had at the last logged step."""
        return self._last_logged("counts")

    @cached_property
    def updates(self) -> dict[str, int]:
        """Steps in which each task had taken part at the last logged step."""
        return self._last_logged("updates")

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Training rows of each task, as far as the run noted them."""
        noted = self.environment.get("sizes")
        if not isinstance(noted, dict):
            return {}
        return {task: noted[task] for task in self.tasks if _is_count(noted.get(task))}

    @cached_property
    def passes(self) -> dict[str, float | None]:
        """Passes over each task's training rows; None where their number is not known."""
        passes: dict[str, float | None] = dict.fromkeys(self.counts)
        for task, rows in self.sizes.items():
            passes[task] = self.counts[task] / rows
        return passes

    @property
    def ended(self) -> str:
        """How the run ended, in words."""
        if self.baseline:
            return "fitted at once"
        if self.finish is not None:
            reason = str(self.finish["reason"])
            if reason != "finished":
                reason = f"stopped early: {reason}"
            return reason
        if self.stopped:
            return f"not finished: {self.stopped}"
        return f"not finished (killed, or still running) after step {self.step}"

    def _last_logged(self, key: str) -> dict[str, int]:
        numbers = dict.fromkeys(self.tasks, 0)
        for event in self.steps[-1:]:
            numbers |= event[key]
        return {task: numbers[task] for task in self.tasks}


def collect(folders: Sequence[Path]) -> list[RunResult]:
    """Read runs, each folder once, in the order given.

    A run that was killed at any moment is read as far as it goes. EmomtlError with every folder
    that holds no run, or a run whose files are damaged.
    """
    results: list[RunResult] = []
    problems: list[Problem] = []
    for folder in dict.fromkeys(Path(folder).resolve() for folder in folders):
        try:
            results.append(_read(folder))
        except EmomtlError as error:
            problems += error.problems
    if problems:
        raise EmomtlError(*problems)
    return _with_unique_names(results)


def _read(folder: Path) -> RunResult:
    """One run, without a lock: it may be running."""
    run = Run.open(folder)
    events, file = list(run.events()), folder / "metrics.jsonl"
    finish, stopped = _end(events, file)
    steps = []
    for event in _by_step(events, "step", file, _is_step):
        steps.append({**{key: {} for key in NUMBERS}, **event})
    result = RunResult(
        name=run.name,
        folder=folder,
        manifest=run.manifest,
        environment=run.environment,
        evaluations=run.scores(),
        steps=steps,
        validations=_by_step(events, "evaluation", file, _is_validation),
        finish=finish,
        stopped=stopped,
        seconds=_seconds(events, folder),
    )
    return replace(result, missing=tuple(_missing(result)))


def _end(events: Sequence[dict[str, Any]], file: Path) -> tuple[dict[str, Any] | None, str]:
    """The event that finished the run, and what broke it off, unless it went on after that."""
    finish, stop = None, None
    for event in events:
        kind = event.get("event")
        if kind == "start":
            finish, stop = None, None
        elif kind == "finish":
            if not _is_finish(event):
                raise damaged(file, "a finish event without a step or a reason")
            finish = event
        elif kind == "stop":
            if not (_is_count(event.get("step"), 0) and isinstance(event.get("error"), str)):
                raise damaged(file, "a stop event without a step or an error")
            stop = (event["step"], clean(event["error"], 300))
    stop = stop or stop_in_log(file.with_name("log.txt"))
    if stop is None:
        return finish, ""
    return finish, f"stopped at step {stop[0]}: {stop[1]}"


def _seconds(events: Sequence[dict[str, Any]], folder: Path) -> tuple[float, ...]:
    """How long each part of a run trained that ended in order."""
    seconds = []
    for event in events:
        if event.get("event") == "finish":
            if "seconds" not in event:
                return tuple(seconds_trained(folder / "log.txt"))
            seconds.append(event["seconds"])
    return tuple(seconds)


def _by_step(
    events: Sequence[dict[str, Any]],
    kind: str,
    file: Path,
    is_valid: Callable[[dict[str, Any]], bool],
) -> list[dict[str, Any]]:
    """The events of a kind by rising step; a resumed run's replace those of the same steps."""
    by_step: list[dict[str, Any]] = []
    for event in events:
        if event.get("event") != kind:
            continue
        if not is_valid(event):
            article = "an" if kind == "evaluation" else "a"
            raise damaged(file, f"{article} {kind} event that emomtl does not write")
        while by_step and by_step[-1]["step"] >= event["step"]:
            by_step.pop()
        by_step.append(event)
    return by_step


def _missing(result: RunResult) -> list[str]:
    """What a report on the run will lack or has to warn of, in words."""
    missing: list[str] = []
    if result.baseline:
        return missing
    if not result.steps:
        missing.append("no step was logged: no losses, updates or passes are known")
    elif result.finish is None:
        last = f"figures of its training go to step {result.steps[-1]['step']}, the last logged one"
        missing.append(f"it has not finished: {last}")
    unscored = ["best", "last"]
    for entry in result.evaluations:
        if entry.get("by") == "train" and entry.get("which") in unscored:
            unscored.remove(entry["which"])
    if unscored:
        checkpoints = f"{' and '.join(unscored)} checkpoint"
        missing.append(
            f"no validation scores of its {checkpoints}: they are written when a run ends"
        )
    if result.finish and result.finish.get("skipped"):
        skipped = f"{result.finish['skipped']} step(s) were skipped"
        missing.append(f"{skipped}: a loss or gradient was not finite")
    for task in result.tasks:
        largest = max((abs(step["weights"].get(task, 0.0)) for step in result.steps), default=0.0)
        if largest > LARGE:
            weight = f"the weighting gave {task} a weight of up to {largest:.3g}"
            missing.append(f"{weight}: in such steps no other task counts")
    return missing


def _with_unique_names(results: Sequence[RunResult]) -> list[RunResult]:
    """Give runs of one name their folder's name too, and its path where even that is the same."""
    names = Counter(result.name for result in results)
    folders = Counter((result.name, result.folder.name) for result in results)
    named = []
    for result in results:
        if names[result.name] > 1:
            place = result.folder.name
            if folders[result.name, place] > 1:
                place = str(result.folder)
            result = replace(result, name=f"{result.name} ({place})")
        named.append(result)
    return named


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value)


def _are_numbers(value: object) -> bool:
    """Whether it is a table of finite numbers by name."""
    return isinstance(value, dict) and all(map(_is_finite, value.values()))


def _is_metric(value: object) -> bool:
    """Whether it is a finite number, or None for an undefined metric."""
    return value is None or _is_finite(value)


def _are_metrics(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_metric, value.values()))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_step(event: dict[str, Any]) -> bool:
    return _is_count(event.get("step")) and all(_are_numbers(event.get(key, {})) for key in NUMBERS)


def _is_validation(event: dict[str, Any]) -> bool:
    scores, main_metrics = event.get("scores"), event.get("main_metrics", {})
    if not (_is_count(event.get("step")) and isinstance(scores, dict)):
        return False
    if not (isinstance(main_metrics, dict) and all(map(_is_text, main_metrics.values()))):
        return False
    return all(map(_are_metrics, scores.values()))


def _is_finish(event: dict[str, Any]) -> bool:
    has_end = _is_count(event.get("step"), 0) and isinstance(event.get("reason"), str)
    return has_end and _is_finite(event.get("seconds", 0.0))
