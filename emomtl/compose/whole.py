"""A manifest and the installed plugins make a Plan: every name resolved, or one error that lists everything wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.compose.composer import Composer
from emomtl.compose.features import bind_features, complete_features
from emomtl.compose.objectives import bind_objectives, complete_objectives
from emomtl.compose.plan import DEFAULT_EPOCHS, Before, BoundTask, Plan, Start
from emomtl.compose.sharing import check_ties, encoder_changes
from emomtl.compose.staged import compose_staged
from emomtl.compose.stages import MASKED, PRETRAIN, pretraining
from emomtl.compose.tasks import bind_tasks
from emomtl.contracts.encoder import EncoderSource, Truncation
from emomtl.contracts.sampler import Sampler
from emomtl.contracts.weighting import TaskFacts, Weighting
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import Draft, EncoderTable, HeadTable, Manifest, SamplerTable, TaskTable, Use, options_of
from emomtl.metrics.selection import MEAN, default_selection
from emomtl.model.layers import LastLayers
from emomtl.model.loaded import EncoderChoice

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins


def compose(manifest: Manifest, plugins: Plugins, folder: Path, draft: Draft | None = None, training: bool = True) -> Plan:
    """Resolve every name of a manifest. `folder` is where relative paths start; `draft` knows lines.

    Without `training` neither the rows nor the pretrained encoder have to be there: a finished run is opened.
    A manifest with `[[stages]]` gives the plan of the last one, with those before it.
    """
    if training and manifest.stages:
        return _staged(manifest, plugins, folder, draft)
    folder = Path(manifest.folder) if manifest.folder else folder.resolve()
    composer = Composer(plugins, folder, draft)
    files = [Path(name).name for name in manifest.plugins if name.endswith(".py")]
    for name in sorted({name for name in files if files.count(name) > 1}):
        composer.add(Problem("plugins", f"two files are called {name}", "rename one; the run keeps a copy of each by its name"))
    for name in manifest.plugins:
        try:
            plugins.activate(name, folder)
        except EmomtlError as error:
            composer.add(*error.problems, place="plugins")
    bound = bind_tasks(composer, manifest.tasks, training)
    tables = {name: table for name, table in manifest.tasks.items() if table.trained}
    tasks = {name: task for name, task in bound.items() if name in tables}
    if not tables:
        composer.add(Problem("tasks", "none is trained", "leave `trained = false` out of one of them"))
    objectives = bind_objectives(composer, manifest, tasks)
    features = bind_features(composer, manifest.features, tables)
    sampler = composer.used("sampler", manifest.sampler, "sampler")
    weighting = composer.used("weighting", manifest.weighting, "weighting")
    start = _start(manifest, folder)
    encoder = _encoder(composer, manifest.encoder, training, start)
    encoder = None if encoder is None else replace(encoder, task_tokens=_task_tokens(manifest, tables))
    changes = encoder_changes(composer, manifest.encoder.changes, tuple(tables))
    composer.add(*check_ties(tasks, tables))
    before = _pretraining(composer, manifest) if training and manifest.pretrain is not None else None
    _checks(composer, manifest, sampler, weighting, tasks, training)
    select = _select(composer, manifest.eval.select, manifest.train.target, tasks) if tasks else None
    if composer.problems:
        raise EmomtlError(*sorted(composer.problems, key=lambda problem: (problem.file, problem.line or 0)))
    assert sampler is not None
    assert weighting is not None
    assert encoder is not None
    assert select is not None
    plan = Plan(manifest, folder, tasks, sampler, weighting, encoder, plugins, changes, objectives, features, start, before)
    return replace(plan, manifest=_complete(plan, bound, select))


def _staged(manifest: Manifest, plugins: Plugins, folder: Path, draft: Draft | None) -> Plan:
    """The plan of the last stage, with those before it; problems have the lines of the whole manifest."""

    def one(stage: Manifest, last: bool) -> Plan:
        return compose(stage, plugins if last else plugins.for_another_run(), folder)

    try:
        return compose_staged(manifest, one)
    except EmomtlError as error:
        placed = [draft.placed(problem) if draft else problem for problem in error.problems]
        raise EmomtlError(*sorted(placed, key=lambda problem: (problem.file, problem.line or 0))) from error


def _pretraining(composer: Composer, manifest: Manifest) -> Before | None:
    """The plan of the run before this one; what is wrong with it and not already with this one stands under `pretrain`."""
    try:
        plan = compose(pretraining(manifest), composer.plugins.for_another_run(), composer.folder)
        return Before(plan, PRETRAIN, "best", heads=False)
    except EmomtlError as error:
        names = [f"tasks.{name}" for name in manifest.tasks]
        broken = [name for name in manifest.tasks if any(p.place.startswith(f"tasks.{name}") for p in composer.problems)]
        known = ("encoder", "plugins", *names, *(f"tasks.{MASKED}{name}" for name in broken))
        composer.add(*(p for p in error.problems if not p.place.startswith(known)), place="pretrain")
        return None


def compose_file(path: Path, overrides: Sequence[str], plugins: Plugins, folder: Path | None = None) -> Plan:
    """Read a manifest file and resolve it; what is wrong with the file comes before what is unknown.

    Relative paths start in `folder`, else where the file lies.
    """
    from emomtl.manifest import read_draft

    draft = read_draft(path, overrides)
    if draft.manifest is None:
        raise EmomtlError(*draft.problems)
    return compose(draft.manifest, plugins, folder or path.parent, draft)


def _complete(plan: Plan, bound: Mapping[str, BoundTask], select: str) -> Manifest:
    """The manifest of a plan with every default and option written out; `bound` are all its tasks, untrained ones too."""
    manifest = plan.manifest
    tables = {}
    for name, one in bound.items():
        head = HeadTable(use=one.head.kind, **options_of(one.head))
        options = options_of(one.family) if one.family is not None else {}
        tables[name] = one.table.model_copy(update={"use": one.table.use or name, "options": options, "head": head})
    train = manifest.train
    if train.epochs is None and train.steps is None and train.target_updates is None:
        train = train.model_copy(update={"epochs": float(DEFAULT_EPOCHS)})
    sampler = SamplerTable(use=manifest.sampler.use, per_step=manifest.sampler.per_step, **options_of(plan.sampler))
    return manifest.model_copy(
        update={
            "folder": str(plan.folder),
            "tasks": tables,
            "objectives": complete_objectives(manifest, plan.objectives),
            "features": complete_features(plan.features),
            "sampler": sampler,
            "weighting": Use(use=manifest.weighting.use, **options_of(plan.weighting)),
            "encoder": _complete_encoder(manifest.encoder, plan),
            "train": train,
            "eval": manifest.eval.model_copy(
                update={"select": select, "weights": manifest.eval.weights or ("ema" if train.ema else None)}
            ),
        }
    )


def _complete_encoder(table: EncoderTable, plan: Plan) -> EncoderTable:
    """The encoder's table with the pooling that suits it, the length of a head where the tail is kept too, and its changes."""
    head = {"head_tokens": plan.encoder.truncation.head_tokens} if table.truncate == "head+tail" else {}
    named = zip(table.changes, plan.changes, strict=True)
    changes = tuple(Use(use=use.use, **options_of(change)) for use, change in named)
    return table.model_copy(update={"pooling": plan.encoder.pooling, "changes": changes, **head})


def _start(manifest: Manifest, folder: Path) -> Start | None:
    """The run to start from. It is opened when the run begins, and not here: a resumed run does without it."""
    table = manifest.start
    if table is None:
        return None
    return Start((folder / Path(table.run).expanduser()).resolve(), str(table.checkpoint), table.heads, table.weights)


def pretrained_choice(manifest: Manifest, plugins: Plugins, folder: Path) -> EncoderChoice:
    """The pretrained encoder of a run, found and verified again; EmomtlError where it is not there any more."""
    composer = Composer(plugins, folder, None)
    choice = _encoder(composer, manifest.encoder, training=True, start=None)
    if choice is None:
        raise EmomtlError(*composer.problems)
    return replace(choice, task_tokens=_task_tokens(manifest, manifest.tasks))


def _task_tokens(manifest: Manifest, tables: Mapping[str, TaskTable]) -> tuple[tuple[str, int], ...]:
    """The tasks whose texts are read at a length of their own."""
    lengths = {name: table.max_tokens for name, table in tables.items() if table.max_tokens is not None}
    return tuple((name, length) for name, length in lengths.items() if length != manifest.encoder.max_tokens)


def _encoder(composer: Composer, table: EncoderTable, training: bool, start: Start | None) -> EncoderChoice | None:
    name = table.use
    reading = table.max_tokens, table.dropout, _truncation(composer, table), LastLayers(table.layers, table.layers_by)
    if not training:
        return EncoderChoice(name, name, table.revision, table.pooling or "mean", *reading)
    source = EncoderSource(hub=name)
    folder = composer.folder / Path(name).expanduser()
    try:
        if "/" in name or name.startswith(".") or folder.is_dir():
            if folder.is_dir():
                where = str(folder.resolve())
            elif name.count("/") == 1 and not name.startswith((".", "/", "~")):
                where = name
            elif start is not None:
                where = ""
            else:
                raise EmomtlError(f"there is no folder {clean(str(folder))}", remedy="a short name, a hub id or a folder")
        else:
            source = composer.plugins.offer("encoder", name).value
            where = source.locate() if start is None else ""
    except EmomtlError as error:
        composer.add(*error.problems, place="encoder.use")
        return None
    where = where if start is None else str(start.folder / "encoder")
    pooling = table.pooling or source.pooling
    if pooling == "pooler" and table.layers > 1:
        composer.add(Problem("encoder.layers", "the pooler reads the last layer only", "layers = 1, or another `pooling`"))
    return EncoderChoice(name, where, table.revision or source.revision, pooling, *reading)


def _truncation(composer: Composer, table: EncoderTable) -> Truncation:
    """What is kept of a text that is too long; of head and tail a quarter is head where nothing else is said, as in the paper."""
    if table.truncate != "head+tail":
        return Truncation(table.truncate)
    head = table.max_tokens // 4 if table.head_tokens is None else table.head_tokens
    if head > table.max_tokens - 3:
        found = f"{head} of {table.max_tokens} tokens, two of which are special ones, leave no tail"
        composer.add(Problem("encoder.head_tokens", found, f"at most {table.max_tokens - 3}, or more max_tokens"))
    return Truncation(table.truncate, head)


def _select(composer: Composer, wanted: str | None, target: str | None, tasks: Mapping[str, BoundTask]) -> str:
    """`eval.select` as it is written out: `mean`, or `task/metric`; what is wrong with it is added to the problems."""
    if wanted == MEAN:
        return wanted
    if wanted is None:
        return default_selection({name: task.head for name, task in tasks.items()}, target)
    task, _, metric = wanted.partition("/")
    if task not in tasks:
        remedy = suggest(task, [MEAN, *tasks])
        composer.add(Problem("eval.select", f"'{clean(task)}' is no task of this run", remedy))
    else:
        known = tasks[task].figures()
        if metric not in known:
            composer.add(Problem("eval.select", f"task '{task}' has no figure '{metric}'", suggest(metric, known)))
    return wanted


def _checks(
    composer: Composer,
    manifest: Manifest,
    sampler: Sampler | None,
    weighting: Weighting | None,
    tasks: Mapping[str, BoundTask],
    training: bool,
) -> None:
    """What can only be said of the parts together."""
    target = manifest.train.target
    names = [name for name, table in manifest.tasks.items() if table.trained]
    if target is not None and target not in names:
        composer.add(Problem("train.target", f"'{clean(target)}' is no task of this run", suggest(target, names)))
    if manifest.eval.weights == "ema" and manifest.train.ema is None and training:
        remedy = 'give `train.ema`, such as 0.999, or weights = "raw"'
        composer.add(Problem("eval.weights", "no average of the weights is kept", remedy))
    if weighting is not None and weighting.joint and manifest.sampler.per_step == "one":
        remedy = '`sampler.per_step = "all"` puts every task into every step'
        composer.add(Problem("weighting.use", f"'{manifest.weighting.use}' needs the losses of all tasks in one step", remedy))
    sizes = dict.fromkeys(names, 1)
    facts = {name: TaskFacts(1, max(1, len(t.head.outputs(t.taxonomy))), t.head.kind) for name, t in tasks.items()}
    for part, checked, arguments in (("sampler", sampler, sizes), ("weighting", weighting, facts)):
        try:
            if checked is not None and training and len(facts) == len(sizes):  # what trained a finished run need not be installed
                checked.check(arguments)  # type: ignore[arg-type]  # each takes its own kind of arguments
        except EmomtlError as error:
            composer.add(*error.problems, place=part)
