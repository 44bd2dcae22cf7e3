"""A finished or interrupted run, opened: its plan, and the model of one of its checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from emomtl.compose import BoundTask, Plan, compose
from emomtl.contracts.heads import Head
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.data.cache.tokens import corpus_tokens
from emomtl.data.corpus import TaskData
from emomtl.data.leaks import Leaks
from emomtl.data.locate import locate
from emomtl.data.one_source import for_all
from emomtl.data.task_input import TaskInput
from emomtl.data.tasks import read_tasks
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.inference.evaluate import evaluate
from emomtl.inference.feature_vectors import FittedFeatures, reopen
from emomtl.manifest import Manifest
from emomtl.metrics.scoring import TaskScores, Tuned
from emomtl.metrics.selection import EMA, RAW
from emomtl.metrics.tuning import TaskTuning
from emomtl.model.device import choose_device, choose_precision
from emomtl.model.encoder import rebuild_encoder
from emomtl.model.loaded import LoadedEncoder
from emomtl.model.network import MultiTaskModel, build_model, restore_model
from emomtl.plugins.discovery import Plugins
from emomtl.run import Checkpoint, Run, open_which
from emomtl.run.answers import save_answers, scored_own_rows
from emomtl.run.tuned import fit_tasks, keep_tunings, tuning_of
from emomtl.run.weights import choose_weights
from emomtl.safety.files import damaged, trouble
from emomtl.safety.untrusted import sha256_of


@dataclass(frozen=True)
class Opened:
    """A run with one of its checkpoints: what it is, without its model."""

    run: Run
    plan: Plan
    checkpoint: Checkpoint

    def tasks(self, wanted: Collection[str] = ()) -> dict[str, BoundTask]:
        """The tasks of the run, or those that are wanted; an unknown one is an error."""
        for name in wanted:
            if name not in self.plan.tasks:
                raise EmomtlError(Problem("--task", f"'{clean(name)}' is no task of this run", suggest(name, self.plan.tasks)))
        return {name: bound for name, bound in self.plan.tasks.items() if not wanted or name in wanted}

    @property
    def paired(self) -> frozenset[str]:
        """The tasks whose training rows had a second text, as the run noted; of one that did not, those with an option `pair`."""
        noted = self.run.environment.get("pairs")
        if noted is not None:
            return frozenset(noted)
        return frozenset(name for name, bound in self.plan.tasks.items() if getattr(bound.family, "pair", None) is not None)


@dataclass(frozen=True)
class Trained(Opened):
    """The model of one checkpoint, ready to answer."""

    model: MultiTaskModel
    tokenizer: Any
    device: str
    precision: str
    features: FittedFeatures
    weights: str = RAW

    @property
    def chosen_weights(self) -> bool:
        """Whether these are the weights that the run chose its best checkpoint by, whose scores stand for it."""
        return self.weights == (self.run.manifest.eval.weights or RAW)


def open_run(folder: Path, which: str, plugins: Plugins) -> Opened:
    """Open a run's checkpoint (`best`, `last` or a step). Files are verified; labels that changed since are refused."""
    run = Run.open(folder)
    checkpoint = open_which(run, which)
    if untrusted := [path for path in run.plugin_files if not plugins.trusts(path)]:
        raise EmomtlError(needs_trust(run.folder, untrusted))
    plan = compose(_with_kept_files(run), plugins, run.folder, training=False)
    labels = checkpoint.labels
    if lacking := [name for name in plan.tasks if name not in labels]:
        found = "the checkpoint does not say what its head answers with"
        raise EmomtlError(*(Problem(f"tasks.{name}", found, "use another checkpoint of the run") for name in lacking))
    learned = {name: Taxonomy(labels[name]) for name, bound in plan.tasks.items() if bound.head.answers == "labels"}
    plan = plan.with_taxonomies(learned)
    for name, bound in plan.tasks.items():
        if list(bound.head.outputs(bound.taxonomy)) != labels.get(name):
            found = f"the checkpoint answers with {len(labels.get(name, []))} labels that are not the plugin's"
            raise EmomtlError(
                Problem(f"tasks.{name}", found, "install the plugin's version that the run records in environment.json")
            )
    return Opened(run, plan, checkpoint)


def open_trained(folder: Path, which: str, plugins: Plugins, device: str = "auto", weights: str | None = None) -> Trained:
    """Open a run's checkpoint as `open_run` does, with its model on a device.

    `weights` are `raw` or `ema`; left out, those that the run chose its best checkpoint by.
    """
    opened = open_run(folder, which, plugins)
    plan, where = opened.plan, choose_device(device)
    saved = opened.run.kept_encoder()
    encoder = changed_encoder(plan, rebuild_encoder(plan.encoder, saved, opened.checkpoint.size("model")))
    features = reopen(plan.features, opened.run)
    model = model_of(plan, encoder, features)
    taken = choose_weights(opened.run, opened.checkpoint, weights, "--weights")
    checkpoint = _restored(model, opened, which, taken)
    model.to(where).eval()
    precision = choose_precision(plan.manifest.train.precision, where)
    return Trained(opened.run, plan, checkpoint, model, encoder.tokenizer, where, precision, features, taken)


def _restored(model: MultiTaskModel, opened: Opened, which: str, weights: str) -> Checkpoint:
    """Load the weights of a checkpoint; where the run, which trains, pruned it meanwhile, of the one that `which` means now."""
    checkpoint = opened.checkpoint
    while True:
        try:
            restore_model(model, checkpoint, weights)
            return checkpoint
        except EmomtlError:
            if checkpoint.path.is_dir():
                raise
            checkpoint = open_which(opened.run, which)


def changed_encoder(plan: Plan, encoder: LoadedEncoder) -> LoadedEncoder:
    """The encoder with the manifest's changes applied; one that a change does not fit is an error."""
    return encoder.changed(plan.changes, tuple(plan.tasks), plan.manifest.seed)


def model_of(plan: Plan, encoder: LoadedEncoder, features: FittedFeatures) -> MultiTaskModel:
    """The model of a plan whose labels are known, with fresh heads and objectives."""
    heads = {name: (bound.head, bound.taxonomy) for name, bound in plan.tasks.items()}
    objectives = {name: (one.objective, plan.tasks[one.task].taxonomy) for name, one in plan.objectives.items()}
    return build_model(encoder, plan.encoder, heads, plan.manifest.seed, plan.ties, objectives, features.width)


def needs_trust(folder: Path, files: Sequence[Path]) -> Problem:
    """The refusal to run code that came with a run or a study."""
    names = ", ".join(clean(path.name, 100) for path in files[:5])
    found = f"brings code of its own along, which opening it would run with your rights: {names}"
    return trouble(folder, found, "read it; if you trust it, --trust-plugins (or EMOMTL_TRUST_PLUGINS=1) runs it")


def plugin_digests(manifest: Manifest, folder: Path) -> frozenset[str]:
    """The SHA-256 of the plugin files that a manifest lists: a run's copies of the very same bytes may be trusted with it."""
    return frozenset(sha256_of(path) for path in plugin_files(manifest, folder) if path.is_file())


def plugin_files(manifest: Manifest, folder: Path) -> list[Path]:
    """The plugin files that a manifest lists, where relative paths start in `folder` unless it says another."""
    base = Path(manifest.folder) if manifest.folder else folder
    return [base / name for name in manifest.plugins if name.endswith(".py")]


def _with_kept_files(run: Run) -> Manifest:
    """The run's manifest with single-file plugins taken from the run's own copies; one that was changed is refused."""
    files = {path.name: str(path) for path in run.plugin_files}
    kept = [files[Path(name).name] if name.endswith(".py") else name for name in run.manifest.plugins]
    changes = [change["environment"] for change in run.environment.get("changes", [])]
    noted = {record["sha256"] for facts in (run.environment, *changes) for record in facts.get("plugins", {}).values()}
    for path in run.plugin_files:
        if path.is_file() and sha256_of(path) not in noted:
            raise damaged(path, "its SHA-256 is not the one that the run noted when it began")
    return run.manifest.model_copy(update={"plugins": tuple(kept)})


def read_split(
    trained: Opened,
    split: str,
    tasks: Collection[str] = (),
    sources: Mapping[str, str] | None = None,
    allow_changed: bool = False,
    unseen_count: bool = False,
) -> TaskData:
    """The rows of one split of a run's tasks, or of those wanted, read where the run read them or where `sources` says.

    A corpus that differs from the one trained on is an error, unless allowed; all that is wrong comes in one EmomtlError.
    With `unseen_count` rows with a label that the model does not have count as wrong, and are no error.
    """
    inputs = _inputs(trained, tasks, sources or {}, allow_changed)
    if unseen_count:
        inputs = [replace(one, unseen_in=(split,)) for one in inputs]
    return read_tasks(inputs, [split], trained.plan.manifest.data.on_bad_row, need_train=False)


def read_as_trained(
    trained: Opened, task: str, sources: Mapping[str, str] | None = None, allow_changed: bool = False
) -> TaskData:
    """A task's training and validation rows as the run had them: with the manifest's limits, without the rows that it drops.

    Errors are those of `read_split`. Which rows leak depends on every task, so all are read where the manifest drops them.
    """
    options = trained.plan.manifest.data
    inputs = []
    followed = trained.plan.tasks[task].table.label_noise_from
    wanted = () if options.drop_leaks else [task, *([followed] if followed is not None else [])]
    for one in _inputs(trained, wanted, sources or {}, allow_changed):
        table = trained.plan.tasks[one.name].table
        limits = replace(one, limit=table.limit, eval_limit=table.eval_limit)
        noisy = replace(limits, label_noise=table.label_noise, noise_from=table.label_noise_from)
        inputs.append(replace(noisy, seed=trained.plan.manifest.seed))
    return read_tasks(inputs, ["train", "validation"], options.on_bad_row, leaks="drop" if options.drop_leaks else "keep")


def leaks_of(trained: Opened, sources: Mapping[str, str] | None = None) -> dict[str, Leaks]:
    """By task, the training rows whose text is scored in validation or test of a task; errors are those of `read_split`."""
    inputs = _inputs(trained, (), sources or {}, False)
    return read_tasks(inputs, ["train"], trained.plan.manifest.data.on_bad_row, leaks="count").leaks


def _inputs(trained: Opened, tasks: Collection[str], sources: Mapping[str, str], allow_changed: bool) -> list[TaskInput]:
    """What is needed to read tasks of a run; one EmomtlError with all that is wrong."""
    inputs: list[TaskInput] = []
    problems: list[Problem] = []
    sources = for_all(sources, {name: (one.task.layouts, one.source) for name, one in trained.tasks(()).items()})
    for name, one in trained.tasks(tasks).items():
        source = sources.get(name, one.source)
        try:
            located = locate(one.task.layouts, source, trained.plan.folder, name)
            learned = one.table.learned_labels is not None
            own = dict(trained.plan.encoder.task_tokens).get(name)
            inputs.append(TaskInput(name, one.task, one.head, located, learned=learned, max_tokens=own))
        except EmomtlError as error:
            problems += error.problems
            continue
        trained_on = trained.run.environment.get("data", {}).get(name)
        if trained_on not in (None, located.fingerprint()) and not allow_changed:
            found = "the corpus is not the one that the run was trained on"
            for change in trained.run.environment.get("changes", []):
                if change["environment"].get("data", {}).get(name) == located.fingerprint():
                    found = f"the run was trained on this corpus up to step {change['step']:,}, and on another one since"
            problems.append(Problem(f"tasks.{name}", found, "name the other one with --source, or --allow-changed data"))
    if problems:
        raise EmomtlError(*problems)
    return inputs


def evaluate_run(
    trained: Trained,
    split: str,
    tasks: Collection[str] = (),
    sources: Mapping[str, str] | None = None,
    allow_changed: bool = False,
    which: str = "best",
    keep_answers: bool = False,
    unseen: Literal["refuse", "wrong"] | None = None,
) -> tuple[dict[str, TaskScores], int, list[str]]:
    """Score a run on a split, write the scores into the run, and say how often this checkpoint has now seen that split.

    With `keep_answers` targets and probabilities are kept in the run, but for tasks with labels that the model does not have;
    what becomes of those, `unseen` says, else the manifest (`data.unseen_labels`).

    Returns the scores, that number, and notes. A corpus
    that differs from the one trained on stops it, unless allowed.

    Metrics at tuned thresholds are scored where the run's validation answers were kept; on validation itself they
    are cross-fitted. What is tuned on all of the run's own validation rows is kept in the run.
    """
    bound = trained.tasks(tasks)
    checkpoint = trained.checkpoint.path.name
    tuned, untuned = _tuned(trained, bound, split, which)
    policy = unseen or trained.plan.manifest.data.unseen_labels
    data = read_split(trained, split, tasks, sources, allow_changed, policy == "wrong" and split != "train")
    choice = trained.plan.encoder
    tokens = corpus_tokens(data, trained.tokenizer, choice.max_tokens, data.notes.append, choice.truncation)
    tokens = trained.features.beside_all(data, tokens)
    batch_size = trained.plan.manifest.eval.batch_size
    kept: dict[str, tuple[Any, Any]] = {}
    of = (trained.model, bound, data, tokens, split, trained.device, trained.precision, batch_size)
    scores = evaluate(*of, keep=kept, tuned=tuned)
    entry = {
        "split": split,
        "which": which,
        "checkpoint": checkpoint,
        "step": trained.checkpoint.step,
        "by": "eval",
        "data": data.fingerprints,
        "tasks": {task: one.as_json() for task, one in scores.items()},
    }
    if trained.checkpoint.has(EMA) or "weights" in trained.checkpoint.state:
        entry["weights"] = trained.weights
    if not trained.chosen_weights:  # a look at these rows, and not the score of the run
        entry |= {"by": "other-weights", "which": f"{which}, {trained.weights} weights"}
        keep_answers = False
    if keep_answers:
        entry["answers"] = save_answers(trained.run, split, checkpoint, kept)
    if split == "validation" and keep_answers:
        own = {task: both for task, both in kept.items() if scored_own_rows(trained.run.environment, entry, task)}
        keep_tunings(trained.run, checkpoint, fit_tasks(with_labels(bound), own))
    return scores, trained.run.add_scores(entry), [*data.notes, *untuned]


def tunings_of(opened: Opened, tasks: Collection[str] = ()) -> dict[str, TaskTuning]:
    """Thresholds and temperatures of the opened checkpoint, by task, as far as there are any: see `tuning_of`.

    This is what `predict`, the model card and whatever takes a model out of its run ask. There are none for weights that
    did not choose the best checkpoint (`eval.weights`): what those answer on validation is not kept.
    """
    if isinstance(opened, Trained) and not opened.chosen_weights:
        return {}
    checkpoint = opened.checkpoint.path.name
    heads = with_labels(opened.tasks(tasks))
    found = {task: tuning_of(opened.run, checkpoint, task, *both) for task, both in heads.items()}
    return {task: tuning for task, tuning in found.items() if tuning is not None}


def with_labels(bound: Mapping[str, BoundTask]) -> dict[str, tuple[Head, tuple[str, ...]]]:
    """The heads of tasks with the labels that they answer with."""
    return {task: (one.head, one.head.outputs(one.taxonomy)) for task, one in bound.items()}


def _tuned(trained: Trained, bound: Mapping[str, BoundTask], split: str, which: str) -> tuple[dict[str, Tuned], list[str]]:
    """How each task is scored at tuned thresholds, and what is said of those of which no thresholds are known."""
    asked = [task for task, one in bound.items() if one.head.by_thresholds]
    if split == "validation":
        return dict.fromkeys(asked, Tuned.cross_fitted()), []
    found = tunings_of(trained, asked) if asked else {}
    run = clean(str(trained.run.folder), 300)
    remedy = f"`emomtl eval {run} --split validation --checkpoint {which}` keeps them"
    if not trained.chosen_weights:
        remedy = "thresholds are kept of the weights that chose the best checkpoint alone: leave --weights out"
    notes = [
        f"{task}: no metrics at tuned thresholds: what this checkpoint answered on validation was not kept; {remedy}"
        for task in asked
        if task not in found
    ]
    return {task: Tuned.on_validation(tuning) for task, tuning in found.items()}, notes
