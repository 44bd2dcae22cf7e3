"""A manifest and the installed plugins make a Plan: every name resolved, or one error that lists everything wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.compose.composer import Composer
from emomtl.compose.features import bind_features, complete_features
from emomtl.compose.plan import BoundTask, Plan
from emomtl.compose.tasks import bind_tasks
from emomtl.encoding import EncoderSource
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.manifest import Draft, EncoderTable, HeadTable, Manifest, SamplerTable, Use, options_of
from emomtl.model.encoder import EncoderChoice
from emomtl.sampling import Sampler
from emomtl.scoring import metric_names
from emomtl.taxonomy import Taxonomy
from emomtl.weighting import TaskFacts, Weighting

if TYPE_CHECKING:
    from emomtl.plugins import Plugins

DEFAULT_EPOCHS = 3


def compose(manifest: Manifest, plugins: Plugins, folder: Path, draft: Draft | None = None, training: bool = True) -> Plan:
    """Resolve every name of a manifest. `folder` is where relative paths start; `draft` knows lines and earlier problems.

    Without `training` neither the rows nor the pretrained encoder have to be there: a finished run is opened.
    """
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
    tasks = bind_tasks(composer, manifest.tasks, training)
    features = bind_features(composer, manifest.features, manifest.tasks)
    sampler = composer.used("sampler", manifest.sampler, "sampler")
    weighting = composer.used("weighting", manifest.weighting, "weighting")
    encoder = _encoder(composer, manifest.encoder, training)
    _checks(composer, manifest, sampler, weighting, tasks)
    select = _select(composer, manifest.eval.select, tasks) if tasks else None
    if composer.problems:
        raise EmomtlError(*sorted(composer.problems, key=lambda problem: (problem.file, problem.line or 0)))
    assert sampler is not None
    assert weighting is not None
    assert encoder is not None
    assert select is not None
    complete = _complete(manifest, tasks, sampler, weighting, encoder, select, folder)
    complete = complete.model_copy(update={"features": complete_features(features)})
    return Plan(complete, folder, tasks, sampler, weighting, encoder, plugins, features)


def compose_file(path: Path, overrides: Sequence[str], plugins: Plugins) -> Plan:
    """Read a manifest file and resolve it; problems of reading and of resolving come together."""
    from emomtl.manifest import read_draft

    draft = read_draft(path, overrides)
    if draft.manifest is None:
        raise EmomtlError(*draft.problems)
    return compose(draft.manifest, plugins, path.parent, draft)


def _complete(
    manifest: Manifest,
    tasks: Mapping[str, BoundTask],
    sampler: Sampler,
    weighting: Weighting,
    encoder: EncoderChoice,
    select: str,
    folder: Path,
) -> Manifest:
    """The manifest with every default and option written out."""
    tables = {}
    for name, bound in tasks.items():
        head = HeadTable(use=bound.head.kind, **options_of(bound.head))
        options = options_of(bound.family) if bound.family is not None else {}
        tables[name] = bound.table.model_copy(update={"use": bound.table.use or name, "options": options, "head": head})
    train = manifest.train
    if train.epochs is None and train.steps is None and train.target_updates is None:
        train = train.model_copy(update={"epochs": float(DEFAULT_EPOCHS)})
    return manifest.model_copy(
        update={
            "folder": str(folder),
            "tasks": tables,
            "sampler": SamplerTable(use=manifest.sampler.use, per_step=manifest.sampler.per_step, **options_of(sampler)),
            "weighting": Use(use=manifest.weighting.use, **options_of(weighting)),
            "encoder": manifest.encoder.model_copy(update={"pooling": encoder.pooling}),
            "train": train,
            "eval": manifest.eval.model_copy(update={"select": select}),
        }
    )


def _encoder(composer: Composer, table: EncoderTable, training: bool) -> EncoderChoice | None:
    name = table.use
    if composer.doubtful("encoder", "use"):
        return None
    if not training:
        return EncoderChoice(name, name, table.revision, table.pooling or "mean", table.max_tokens, table.dropout)
    source = EncoderSource(hub=name)
    folder = composer.folder / Path(name).expanduser()
    try:
        if "/" in name or name.startswith(".") or folder.is_dir():
            if folder.is_dir():
                where = str(folder.resolve())
            elif name.count("/") == 1 and not name.startswith((".", "/", "~")):
                where = name
            else:
                raise EmomtlError(f"there is no folder {clean(str(folder))}", remedy="a short name, a hub id or a folder")
        else:
            source = composer.plugins.offer("encoder", name).value
            where = source.locate()
    except EmomtlError as error:
        composer.add(*error.problems, place="encoder.use")
        return None
    pooling = table.pooling or source.pooling
    return EncoderChoice(name, where, table.revision or source.revision, pooling, table.max_tokens, table.dropout)


def _select(composer: Composer, wanted: str | None, tasks: Mapping[str, BoundTask]) -> str | None:
    if wanted is None:
        first = next(iter(tasks.values()))
        return f"{first.name}/{first.head.main_metric}"
    task, _, metric = wanted.partition("/")
    if task not in tasks:
        composer.add(Problem("eval.select", f"'{task}' is no task of this run", suggest(task, tasks)))
    else:
        head, taxonomy = tasks[task].head, tasks[task].taxonomy
        if taxonomy is None and head.kind != "regression":  # learned from the rows later; its names change no figure's name
            taxonomy = Taxonomy(["one", "other"])
        known = metric_names(head, taxonomy)
        if metric not in known:
            composer.add(Problem("eval.select", f"task '{task}' has no figure '{metric}'", suggest(metric, known)))
    return wanted


def _checks(
    composer: Composer, manifest: Manifest, sampler: Sampler | None, weighting: Weighting | None, tasks: Mapping[str, BoundTask]
) -> None:
    """What can only be said of the parts together."""
    target = manifest.train.target
    if target is not None and target not in manifest.tasks:
        composer.add(Problem("train.target", f"'{target}' is no task of this run", suggest(target, manifest.tasks)))
    if weighting is not None and weighting.joint and manifest.sampler.per_step == "one":
        remedy = '`sampler.per_step = "all"` puts every task into every step'
        composer.add(Problem("weighting.use", f"'{manifest.weighting.use}' needs the losses of all tasks in one step", remedy))
    world = int(os.environ.get("WORLD_SIZE", "1") or "1")
    if world != manifest.devices:
        composer.add(
            Problem("devices", f"the manifest asks for {manifest.devices} process(es), {world} run", "make the two agree")
        )
    elif world > 1:
        composer.add(Problem("devices", f"{world} processes: this version trains in one", "devices = 1, without a launcher"))
    sizes = dict.fromkeys(manifest.tasks, 1)
    facts = {name: TaskFacts(1, max(1, len(t.head.outputs(t.taxonomy))), t.head.kind) for name, t in tasks.items()}
    for part, checked, arguments in (("sampler", sampler, sizes), ("weighting", weighting, facts)):
        try:
            if checked is not None and len(facts) == len(sizes):
                checked.check(arguments)  # type: ignore[arg-type]
        except EmomtlError as error:
            composer.add(*error.problems, place=part)
