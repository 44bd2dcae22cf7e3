"""A model card: what a run is, what it was trained on, how well it does, and what it must not be used for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Cell, Table
from emomtl.errors import EmomtlError, clean
from emomtl.metrics.intervals import SampledMetric
from emomtl.metrics.predictions import TaskPredictions, metric_function
from emomtl.metrics.tuning import JUDGED_BY, WRITTEN, TaskTuning
from emomtl.report.cells import spelt
from emomtl.report.formats.markdown import code, escape, fenced, markdown
from emomtl.run import find_checkpoint
from emomtl.run.answers import kept_answers, scored_own_rows
from emomtl.run.tuned import tuning_of

if TYPE_CHECKING:
    from emomtl.compose import BoundTask, Plan
    from emomtl.run import Run

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SAFETY = (
    "This model has a head for {tasks}, whose texts are about suicide, depression or other harm. It is no medical device and no "
    "diagnosis. It must not decide about a person: not over help, moderation, insurance, work or policing. It misses people in "
    "danger and names people who are not; whoever uses it must let people with training look at what it says, and at what "
    "it passes over. It was trained on posts of one forum, and will be wrong elsewhere in ways that nobody has measured."
)
LIMITS = (
    "Figures hold for texts like those of the corpora: mostly short English comments. Who wrote them, and who labelled them, "
    "is in the corpora's own descriptions.",
    "Labels of emotions are what raters read into a text, not what its writer felt. Raters disagree.",
    "Rare labels rest on a handful of test rows; look at their support before you trust their figures.",
)


def model_card(run: Run, plan: Plan) -> str:
    """The card as Markdown with the metadata of Hugging Face's model cards; no text of a corpus is in it.

    Figures are those of the best checkpoint on test where it was scored, else on validation, with a bootstrap interval over
    rows where its answers were kept.
    """
    parts = [_metadata(run, plan), f"# {escape(run.name)}", *_about(plan), *_safety(plan), *_figures(run, plan)]
    parts += ["## Limits", "\n".join(f"- {limit}" for limit in LIMITS), *_corpora(plan), *_use(run)]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _metadata(run: Run, plan: Plan) -> str:
    """The YAML at the top."""
    results = []
    for name, bound, split, entry in _scored(run, plan):
        value = entry["tasks"][name]["metrics"].get(bound.head.main_metric)
        if value is not None:
            metric = {"type": "f1" if "f1" in bound.head.main_metric else bound.head.main_metric, "value": value}
            data = {"name": name, "type": name, "split": split}
            metrics = [metric | {"name": f"{bound.head.main_metric} ({split})"}]
            results.append({"task": {"type": "text-classification"}, "dataset": data, "metrics": metrics})
    content = {
        "library_name": "emomtl",
        "pipeline_tag": "text-classification",
        "tags": ["emotion", "multi-task-learning"],
        **({"base_model": base} if (base := _base_model(plan)) else {}),
        "model-index": [{"name": run.name, "results": results}],
    }
    return front_matter(content)


def front_matter(content: Mapping[str, Any]) -> str:
    """Metadata as YAML between two lines of dashes."""
    import yaml

    # ASCII alone: PyYAML escapes all other characters, so that none hides or turns the direction of a line
    return f"---\n{yaml.safe_dump(dict(content), allow_unicode=False, sort_keys=False)}---"


def _base_model(plan: Plan) -> str | None:
    """The encoder's id on the hub, as the metadata want it; None where it has none that is known, such as a folder's."""
    name = plan.manifest.encoder.use
    if HUB_ID.fullmatch(name):
        return None if (plan.folder / name).is_dir() else name
    try:
        hub = plan.plugins.offer("encoder", name).value.hub
    except EmomtlError:
        return None
    return hub if isinstance(hub, str) else None


def _about(plan: Plan) -> list[str]:
    manifest = plan.manifest
    tasks = ", ".join(code(name) for name in plan.tasks)
    how = f"the sampler {code(manifest.sampler.use)} and the weighting {code(manifest.weighting.use)}, seed {manifest.seed}"
    what = f"One encoder ({code(manifest.encoder.use)}) with a head for each of {len(plan.tasks)} task(s): {tasks}."
    return [f"{what} Trained by emomtl with {how}."]


def _safety(plan: Plan) -> list[str]:
    sensitive = [name for name, bound in plan.tasks.items() if bound.task.sensitive]
    return ["## Safety", SAFETY.format(tasks=", ".join(code(name) for name in sensitive))] if sensitive else []


def _scored(run: Run, plan: Plan) -> Iterator[tuple[str, BoundTask, str, Mapping[str, Any]]]:
    """Each task with the newest evaluation of the best checkpoint, on test where there is one."""
    entries = [entry for entry in reversed(run.scores()) if entry.get("which") == "best"]
    environment = run.environment
    for name, bound in plan.tasks.items():
        for split in ("test", "validation"):
            found = next(
                (
                    entry
                    for entry in entries
                    if entry["split"] == split and name in entry["tasks"] and scored_own_rows(environment, entry, name)
                ),
                None,
            )
            if found is not None:
                yield name, bound, split, found
                break


def _figures(run: Run, plan: Plan) -> list[str]:
    rows = []
    for name, bound, split, entry in _scored(run, plan):
        scores, metric = entry["tasks"][name], bound.head.main_metric
        rows.append(
            (name, split, scores["rows"], metric, scores["metrics"].get(metric), _interval(run, name, bound, split, entry))
        )
    columns = ("task", "split", "rows", "metric", "value", "95% interval over rows")
    notes: tuple[str, ...] = (
        "the best checkpoint, chosen on validation; one seed, so the interval says nothing of another training",
    )
    if others := [name for name in plan.tasks if _scored_elsewhere(run, name)]:
        tasks = ", ".join(others)
        notes += (f"evaluations on other rows than those of the run's own corpus are left out: {tasks}",)
    thresholds = [
        f"{code(n)} answers labels from a probability of {b.head.threshold}"
        for n, b in plan.tasks.items()
        if hasattr(b.head, "threshold")
    ]
    found = [markdown([Table("Figures", columns, tuple(rows), notes)])]
    return found + (["Thresholds: " + "; ".join(thresholds) + "."] if thresholds else []) + _tuned(run, plan)


def _tuned(run: Run, plan: Plan) -> list[str]:
    """What the run keeps of its best checkpoint beside the weights: tuned thresholds of each label, and temperatures."""
    checkpoint = find_checkpoint(run, "best").resolve().name
    tunings: dict[str, TaskTuning] = {}
    for name, bound in plan.tasks.items():
        tuning = tuning_of(run, checkpoint, name, bound.head)
        if tuning is not None:
            tunings[name] = tuning
    on_test = {name: entry["tasks"][name]["metrics"] for name, _, split, entry in _scored(run, plan) if split == "test"}
    worth: list[tuple[Cell, ...]] = []
    by_label: list[tuple[Cell, ...]] = []
    for name, tuning in tunings.items():
        for written, way in WRITTEN.items():
            if (tuned := tuning.thresholds.get(way)) is not None:
                tested = on_test.get(name, {}).get(f"{JUDGED_BY}_{way}", "")
                scores = (tuning.untuned, tuned.in_sample, tuned.cross_fitted, tested)
                worth.append((name, written, tuning.rows, *scores))
        if tuning.thresholds:
            thresholds = (tuned.values for tuned in tuning.thresholds.values())
            by_label += [(name, *cells) for cells in zip(tuning.labels, *thresholds, strict=True)]
    parts = []
    if worth:
        columns = ("task", "thresholds", "validation rows", "at 0.5", "tuned", "cross-fitted", "test")
        notes = (
            f"{JUDGED_BY} of the best checkpoint; tuned on validation, so `tuned` is too good and `cross-fitted` is not; "
            "`predict --thresholds tuned` and `tuned-by-label` answer at them",
        )
        parts.append(markdown([Table("Tuned thresholds", columns, tuple(worth), notes)]))
        parts.append(markdown([Table("Tuned thresholds of each label", ("task", "label", *WRITTEN), tuple(by_label))]))
    if tunings:
        temperatures = ", ".join(f"{code(name)} {tuning.temperature:.3g}" for name, tuning in tunings.items())
        parts.append(
            f"Temperature, by which logits are divided to be calibrated on validation: {temperatures}. "
            "`predict` does not apply it."
        )
    return parts


def _scored_elsewhere(run: Run, task: str) -> bool:
    """Whether a task was scored on other rows than the run's own, with `--allow-changed data`."""
    entries = [entry for entry in run.scores() if task in entry["tasks"]]
    return not all(scored_own_rows(run.environment, entry, task) for entry in entries)


def _interval(run: Run, name: str, bound: BoundTask, split: str, entry: Mapping[str, Any]) -> str:
    """The interval of a main figure, where the answers were kept."""
    kept = kept_answers(run, split, entry["checkpoint"], name)
    if kept is None:
        return "answers not kept"
    answers = TaskPredictions(*kept)
    metric = bound.head.main_metric
    sampled = SampledMetric(metric_function(bound.head, metric), bounds=bound.head.bounds(metric))
    found = sampled.estimate([answers])
    left_out = f"{found.undefined_samples} undefined"
    if found.low is None or found.high is None:
        return f"undefined ({left_out})" if found.undefined else "undefined (nothing varies)"
    interval = f"{spelt(found.low)} to {spelt(found.high)}"
    return f"{interval} ({left_out})" if found.undefined else interval


def _corpora(plan: Plan) -> list[str]:
    parts: list[str] = ["## Corpora"]
    for name, bound in plan.tasks.items():
        parts += [
            f"### {escape(name)}",
            escape_lines(bound.task.card) if bound.task.card else "Its plugin says nothing of its origin.",
        ]
    return parts


def escape_lines(text: str) -> str:
    """A text of several lines, each standing for itself."""
    return "\n".join(escape(line) for line in text.strip().splitlines())


def _use(run: Run) -> Sequence[str]:
    """How to ask the model; the run's name is whatever run.json says, and so one quoted word in a block that it cannot end."""
    name = shlex.quote(clean(run.name, 200))
    return ["## Use", fenced(f'$ emomtl predict {name} "what a lovely day"', "console")]
