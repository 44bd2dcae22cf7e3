"""A model card: what a run is, how well it does, and what it must not be used for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Cell, Table
from emomtl.errors import EmomtlError, clean
from emomtl.metrics.intervals import SampledMetric
from emomtl.metrics.predictions import HeadMetric, TaskPredictions
from emomtl.metrics.tuning import JUDGED_BY, WRITTEN, TaskTuning
from emomtl.report.cells import spelt
from emomtl.report.formats.markdown import code, escape, fenced, markdown
from emomtl.run import find_checkpoint
from emomtl.run.predictions import recorded_predictions, scored_own_rows
from emomtl.run.tuned import tuning_of

if TYPE_CHECKING:
    from emomtl.compose import BoundTask, Plan
    from emomtl.run import Run

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SAFETY = (
    "This model has a head for {tasks}, whose texts are about suicide, depression or other harm. It"
    " is no medical device and no diagnosis. It must not decide about a person: not over help,"
    " moderation, insurance, work or policing. It misses people in danger and names people who are"
    " not; whoever uses it must let people with training look at what it says, and at what it"
    " passes over. It was trained on posts of one forum, and will be wrong elsewhere in ways that"
    " nobody has measured."
)
LIMITS = """
- Figures hold for texts like those of the corpora: mostly short English comments. Who wrote them, \
and who labelled them, is in the corpora's own descriptions.
- Labels of emotions are what raters read into a text, not what its writer felt. Raters disagree.
- Rare labels rest on a handful of test rows; look at their support before you trust their figures.
""".strip()
USE_TUNED = (
    f"{JUDGED_BY} of the best checkpoint; tuned on validation, so `tuned` is too good and "
    "`cross-fitted` is not; `predict --thresholds tuned` and `tuned-by-label` answer at them"
)


def model_card(run: Run, plan: Plan) -> str:
    """The card as Markdown with the metadata of Hugging Face's model cards; no text of a corpus.

    Metrics are those of the best checkpoint on test where it was scored, else on validation, with a
    bootstrap interval over rows where its predictions were kept.
    """
    parts = [_metadata(run, plan), f"# {escape(run.name)}", _about(plan), *_safety(plan)]
    parts += [*_metrics(run, plan), *_tuned(run, plan), "## Limits", LIMITS, *_corpora(plan)]
    parts += ["## Use", _use(run.name)]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _use(name: str) -> str:
    """A command for the console; the name, which is whatever run.json says, stays inside."""
    return fenced(
        f'$ emomtl predict {shlex.quote(clean(name, 200))} "what a lovely day"', "console"
    )


def _metadata(run: Run, plan: Plan) -> str:
    """The YAML at the top."""
    results = []
    for name, bound, split, entry in _scored(run, plan):
        main = bound.head.main_metric
        value = entry["tasks"][name]["metrics"].get(main)
        if value is not None:
            metric = {"type": main, "value": value, "name": f"{main} ({split})"}
            dataset = {"name": name, "type": name, "split": split}
            task = {"type": "text-classification"}
            results.append({"task": task, "dataset": dataset, "metrics": [metric]})
    base = _base_model(plan)
    content = {
        "library_name": "emomtl",
        "pipeline_tag": "text-classification",
        "tags": ["emotion", "multi-task-learning"],
        **({"base_model": base} if base else {}),
        "model-index": [{"name": run.name, "results": results}],
    }
    return front_matter(content)


def front_matter(content: Mapping[str, Any]) -> str:
    """Metadata as YAML between two lines of dashes."""
    import yaml

    # ASCII alone: PyYAML escapes all other characters, so none hides or turns a line's direction
    return f"---\n{yaml.safe_dump(dict(content), allow_unicode=False, sort_keys=False)}---"


def _base_model(plan: Plan) -> str | None:
    """The encoder's id on the hub, for the metadata; None where it is not known, as of a folder."""
    name = plan.manifest.encoder.use
    if HUB_ID.fullmatch(name):
        return None if (plan.folder / name).is_dir() else name
    try:
        hub = plan.plugins.offer("encoder", name).value.hub
    except EmomtlError:
        return None
    return hub if isinstance(hub, str) else None


def _about(plan: Plan) -> str:
    manifest = plan.manifest
    tasks = ", ".join(code(name) for name in plan.tasks)
    encoder, sampler = code(manifest.encoder.use), code(manifest.sampler.use)
    return (
        f"One encoder ({encoder}) with a head for each of {len(plan.tasks)} task(s): {tasks}. "
        f"Trained by emomtl with the sampler {sampler} and the weighting "
        f"{code(manifest.weighting.use)}, seed {manifest.seed}."
    )


def _safety(plan: Plan) -> list[str]:
    sensitive = [code(name) for name, bound in plan.tasks.items() if bound.task.sensitive]
    return ["## Safety", SAFETY.format(tasks=", ".join(sensitive))] if sensitive else []


def _scored(run: Run, plan: Plan) -> Iterator[tuple[str, BoundTask, str, Mapping[str, Any]]]:
    """Each task with the newest evaluation of the best checkpoint, on test where there is one."""
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in run.scores():
        for name in entry["tasks"] if entry.get("which") == "best" else ():
            if scored_own_rows(run.environment, entry, name):
                newest[name, entry["split"]] = entry
    for name, bound in plan.tasks.items():
        splits = [split for split in ("test", "validation") if (name, split) in newest]
        if splits:
            yield name, bound, splits[0], newest[name, splits[0]]


def _metrics(run: Run, plan: Plan) -> list[str]:
    """The main metric of each task with its interval, and the thresholds of heads that have one."""
    rows: list[tuple[Cell, ...]] = []
    for name, bound, split, entry in _scored(run, plan):
        scores, metric = entry["tasks"][name], bound.head.main_metric
        value, interval = scores["metrics"].get(metric), _interval(run, name, bound, split, entry)
        rows.append((name, split, scores["rows"], metric, value, interval))
    notes = [
        "the best checkpoint, chosen on validation; one seed, so the interval says nothing of "
        "another training"
    ]
    if others := [name for name in plan.tasks if _scored_elsewhere(run, name)]:
        left_out = "evaluations on other rows than those of the run's own corpus are left out"
        notes.append(f"{left_out}: {', '.join(others)}")
    columns = ("task", "split", "rows", "metric", "value", "95% interval over rows")
    parts = [markdown([Table("Figures", columns, tuple(rows), tuple(notes))])]
    thresholds = []
    for name, bound in plan.tasks.items():
        if hasattr(bound.head, "threshold"):
            answers = f"{code(name)} answers labels from a probability of {bound.head.threshold}"
            thresholds.append(answers)
    return [*parts, f"Thresholds: {'; '.join(thresholds)}."] if thresholds else parts


def _tuned(run: Run, plan: Plan) -> list[str]:
    """Tuned thresholds of the best checkpoint, of each label, and temperatures."""
    checkpoint = find_checkpoint(run, "best").resolve().name
    tunings: dict[str, TaskTuning] = {}
    for name, bound in plan.tasks.items():
        tuning = tuning_of(run, checkpoint, name, bound.head)
        if tuning is not None:
            tunings[name] = tuning
    on_test = {}
    for name, _, split, entry in _scored(run, plan):
        if split == "test":
            on_test[name] = entry["tasks"][name]["metrics"]
    by_way: list[tuple[Cell, ...]] = []
    by_label: list[tuple[Cell, ...]] = []
    for name, tuning in tunings.items():
        for written, way in WRITTEN.items():
            tuned = tuning.thresholds.get(way)
            if tuned is not None:
                tested = on_test.get(name, {}).get(f"{JUDGED_BY}_{way}", "")
                scores = (tuning.untuned, tuned.in_sample, tuned.cross_fitted, tested)
                by_way.append((name, written, tuning.rows, *scores))
        if tuning.thresholds:
            thresholds = [tuned.values for tuned in tuning.thresholds.values()]
            by_label += [(name, *cells) for cells in zip(tuning.labels, *thresholds, strict=True)]
    parts = []
    if by_way:
        columns = (
            "task",
            "thresholds",
            "validation rows",
            "at 0.5",
            "tuned",
            "cross-fitted",
            "test",
        )
        of_labels = ("task", "label", *WRITTEN)
        table = Table("Tuned thresholds", columns, tuple(by_way), (USE_TUNED,))
        label_table = Table("Tuned thresholds of each label", of_labels, tuple(by_label))
        parts += [markdown([table]), markdown([label_table])]
    if tunings:
        temperatures = [f"{code(name)} {one.temperature:.3g}" for name, one in tunings.items()]
        parts.append(
            "Temperature, by which logits are divided to be calibrated on validation: "
            f"{', '.join(temperatures)}. `predict` does not apply it."
        )
    return parts


def _scored_elsewhere(run: Run, task: str) -> bool:
    """Whether a task was scored on other rows than the run's own, with `--allow-changed data`."""
    entries = [entry for entry in run.scores() if task in entry["tasks"]]
    return not all(scored_own_rows(run.environment, entry, task) for entry in entries)


def _interval(run: Run, name: str, bound: BoundTask, split: str, entry: Mapping[str, Any]) -> str:
    """The interval of a main metric, where the predictions were kept."""
    kept = recorded_predictions(run, split, entry["checkpoint"], name)
    if kept is None:
        return "answers not kept"
    metric = bound.head.main_metric
    sampled = SampledMetric(HeadMetric(bound.head, metric), bounds=bound.head.bounds(metric))
    estimate = sampled.estimate([TaskPredictions(*kept)])
    left_out = f" ({estimate.undefined_note})" if estimate.undefined else ""
    if estimate.low is None or estimate.high is None:
        return f"undefined{left_out or ' (nothing varies)'}"
    return f"{spelt(estimate.low)} to {spelt(estimate.high)}{left_out}"


def _corpora(plan: Plan) -> list[str]:
    parts = ["## Corpora"]
    for name, bound in plan.tasks.items():
        card = bound.task.card.strip() or "Its plugin says nothing of its origin."
        lines = [escape(line) for line in card.splitlines()]
        parts += [f"### {escape(name)}", "\n".join(lines)]
    return parts
