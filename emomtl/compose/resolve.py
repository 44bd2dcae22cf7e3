"""A manifest and the installed plugins make a plan, or one error that lists everything wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.compose.complete import complete_manifest
from emomtl.compose.composer import Composer
from emomtl.compose.encoder import choose_encoder
from emomtl.compose.features import bind_features
from emomtl.compose.objectives import bind_objectives
from emomtl.compose.plan import Before, Plan, Start
from emomtl.compose.sharing import check_ties, encoder_changes
from emomtl.compose.stage_manifests import (
    MASKED,
    PRETRAIN,
    given_keys,
    pretraining,
    stage_manifests,
)
from emomtl.compose.tasks import bind_tasks
from emomtl.contracts.sampler import Sampler
from emomtl.contracts.weighting import TaskFacts, Weighting
from emomtl.data.bound_task import BoundTask
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import Draft, Manifest, StageTable
from emomtl.metrics.scoring import metric_names
from emomtl.metrics.selection import MEAN, default_selection

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins


def compose_file(
    path: Path, overrides: Sequence[str], plugins: Plugins, folder: Path | None = None
) -> Plan:
    """Read a manifest file and resolve it. Relative paths start in `folder`, else where it lies.

    EmomtlError; what is wrong with the file comes before what is unknown.
    """
    from emomtl.manifest import read_draft

    draft = read_draft(path, overrides)
    if draft.manifest is None:
        raise EmomtlError(*draft.problems)
    return compose(draft.manifest, plugins, folder or path.parent, draft)


def compose(
    manifest: Manifest,
    plugins: Plugins,
    folder: Path,
    draft: Draft | None = None,
    training: bool = True,
) -> Plan:
    """Resolve every name of a manifest; relative paths start in `folder`, `draft` knows lines.

    Without `training` neither the rows nor the pretrained encoder have to be there: a finished run
    is opened. A manifest with `[[stages]]` gives the plan of the last one, with those before it.
    """
    if training and manifest.stages:
        return _compose_stages(manifest, plugins, folder, draft)
    folder = Path(manifest.folder) if manifest.folder else folder.resolve()
    composer = Composer(plugins, folder, draft)
    _activate(composer, manifest)
    tables = {name: table for name, table in manifest.tasks.items() if table.trained}
    if not tables:
        remedy = "leave `trained = false` out of one of them"
        composer.add(Problem("tasks", "none is trained", remedy))
    all_tasks = bind_tasks(composer, manifest, training)
    tasks = {name: task for name, task in all_tasks.items() if name in tables}
    objectives = bind_objectives(composer, manifest, tasks)
    features = bind_features(composer, manifest.features, tables)
    sampler: Sampler | None = composer.used("sampler", manifest.sampler, "sampler")
    weighting: Weighting | None = composer.used("weighting", manifest.weighting, "weighting")
    start = _start(manifest, folder)
    encoder = choose_encoder(composer, manifest, tables, training, start)
    changes = encoder_changes(composer, manifest.encoder.changes, tuple(tables))
    composer.add(*check_ties(tasks, tables))
    before = _before(composer, manifest) if training and manifest.pretrain is not None else None
    _check_keys(composer, manifest, training)
    if weighting is not None and weighting.joint and manifest.sampler.per_step == "one":
        found = f"'{manifest.weighting.use}' needs the losses of all tasks in one step"
        remedy = '`sampler.per_step = "all"` puts every task into every step'
        composer.add(Problem("weighting.use", found, remedy))
    if training and len(tasks) == len(tables):
        _check_tasks(composer, sampler, weighting, tasks)
    select = _select(composer, manifest, tasks) if tasks else None
    if composer.problems:
        raise _sorted(composer.problems)
    assert sampler is not None
    assert weighting is not None
    assert encoder is not None
    assert select is not None
    plan = Plan(
        manifest,
        folder,
        tasks,
        sampler,
        weighting,
        encoder,
        plugins,
        changes,
        objectives,
        features,
        start,
        before,
    )
    return replace(plan, manifest=complete_manifest(plan, all_tasks, select))


def _sorted(problems: Iterable[Problem]) -> EmomtlError:
    """An error whose problems stand in the order of the file's lines."""
    return EmomtlError(*sorted(problems, key=lambda problem: (problem.file, problem.line or 0)))


def _compose_stages(
    manifest: Manifest, plugins: Plugins, folder: Path, draft: Draft | None
) -> Plan:
    """The plan of the last stage, with those before it; EmomtlError with each problem once."""
    problems: list[Problem] = []
    plan: Plan | None = None
    try:
        manifests = stage_manifests(manifest)
    except EmomtlError as error:
        manifests, problems = [], list(error.problems)
    for number, stage_manifest in enumerate(manifests):
        stage, last = manifest.stages[number], number == len(manifests) - 1
        try:
            own_plugins = plugins if last else plugins.for_another_run()
            stage_plan = compose(stage_manifest, own_plugins, folder)
        except EmomtlError as error:
            problems += [_in_stage(problem, number, stage) for problem in error.problems]
            continue
        if plan is not None:
            name, start = manifest.stages[number - 1].name, stage.start
            before = Before(plan, name, start.checkpoint, start.heads)
            stage_plan = replace(stage_plan, before=before)
        plan = stage_plan
    if problems:
        once = dict.fromkeys(problems)
        raise _sorted(draft.placed(problem) if draft else problem for problem in once)
    assert plan is not None
    return plan


def _in_stage(problem: Problem, number: int, stage: StageTable) -> Problem:
    """A problem of a stage's manifest, at the place in the whole one that it comes from."""
    table, _, rest = problem.place.partition(".")
    key = rest.partition(".")[0]
    if table == "encoder" and key.startswith("changes") and stage.changes is not None:
        return replace(problem, place=f"stages[{number}].{rest}")
    is_own = {
        "train": key in given_keys(stage.train),
        "eval": key in given_keys(stage.eval),
        "sampler": stage.sampler is not None,
        "weighting": stage.weighting is not None,
    }
    if is_own.get(table, False):
        return replace(problem, place=f"stages[{number}].{problem.place}")
    return problem


def _activate(composer: Composer, manifest: Manifest) -> None:
    """Load the plugins that the manifest lists."""
    files = [Path(name).name for name in manifest.plugins if name.endswith(".py")]
    for name in sorted({name for name in files if files.count(name) > 1}):
        remedy = "rename one; the run keeps a copy of each by its name"
        composer.add(Problem("plugins", f"two files are called {name}", remedy))
    for name in manifest.plugins:
        try:
            composer.plugins.activate(name, composer.folder)
        except EmomtlError as error:
            composer.add(*error.problems, place="plugins")


def _start(manifest: Manifest, folder: Path) -> Start | None:
    """The run to start from. It is opened when the run begins: a resumed run does without it."""
    table = manifest.start
    if table is None:
        return None
    run = (folder / Path(table.run).expanduser()).resolve()
    return Start(run, str(table.checkpoint), table.heads, table.weights)


def _before(composer: Composer, manifest: Manifest) -> Before | None:
    """The plan of the run that `[pretrain]` asks for.

    What is wrong with it, and not already with the run itself, stands under `pretrain`.
    """
    try:
        plugins = composer.plugins.for_another_run()
        plan = compose(pretraining(manifest), plugins, composer.folder)
        return Before(plan, PRETRAIN, "best", heads=False)
    except EmomtlError as error:
        known = ["encoder", "plugins"]
        for name in manifest.tasks:
            known.append(f"tasks.{name}")
            if any(problem.place.startswith(f"tasks.{name}") for problem in composer.problems):
                known.append(f"tasks.{MASKED}{name}")
        for problem in error.problems:
            if not problem.place.startswith(tuple(known)):
                composer.add(problem, place="pretrain")
        return None


def _select(composer: Composer, manifest: Manifest, tasks: Mapping[str, BoundTask]) -> str:
    """`eval.select` as it is written out: `mean`, or `task/metric`; a wrong one is a problem."""
    select = manifest.eval.select
    if select == MEAN:
        return select
    if select is None:
        heads = {name: task.head for name, task in tasks.items()}
        return default_selection(heads, manifest.train.target)
    name, _, metric = select.partition("/")
    if name not in tasks:
        found = f"'{clean(name)}' is no task of this run"
        composer.add(Problem("eval.select", found, suggest(name, [MEAN, *tasks])))
        return select
    known = metric_names(tasks[name].head, tasks[name].taxonomy)
    if metric not in known:
        found = f"task '{name}' has no metric '{metric}'"
        composer.add(Problem("eval.select", found, suggest(metric, known)))
    return select


def _check_keys(composer: Composer, manifest: Manifest, training: bool) -> None:
    """Keys that say something of one another."""
    target = manifest.train.target
    names = [name for name, table in manifest.tasks.items() if table.trained]
    if target is not None and target not in names:
        found = f"'{clean(target)}' is no task of this run"
        composer.add(Problem("train.target", found, suggest(target, names)))
    if training and manifest.eval.weights == "ema" and manifest.train.ema is None:
        remedy = 'give `train.ema`, such as 0.999, or weights = "raw"'
        composer.add(Problem("eval.weights", "no average of the weights is kept", remedy))


def _check_tasks(
    composer: Composer,
    sampler: Sampler | None,
    weighting: Weighting | None,
    tasks: Mapping[str, BoundTask],
) -> None:
    """Whether sampler and weighting take these tasks; sizes are not known yet."""
    try:
        if sampler is not None:
            sampler.check(dict.fromkeys(tasks, 1))
    except EmomtlError as error:
        composer.add(*error.problems, place="sampler")
    if weighting is None:
        return
    facts = {}
    for name, task in tasks.items():
        facts[name] = TaskFacts(1, max(1, len(task.outputs)), task.head.answers)
    try:
        weighting.check(facts)
    except EmomtlError as error:
        composer.add(*error.problems, place="weighting")
