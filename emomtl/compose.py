"""A manifest and the installed plugins make a Plan: every name resolved, or one error that lists everything wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.data.locate import Located, locate
from emomtl.encoding import EncoderSource
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.heads import Head
from emomtl.manifest import Draft, EncoderTable, HeadTable, Manifest, SamplerTable, TaskTable, Use, options_of, read_options
from emomtl.model.encoder import EncoderChoice
from emomtl.sampling import Sampler
from emomtl.scoring import metric_names
from emomtl.task import Task, TaskFamily
from emomtl.taxonomy import Taxonomy
from emomtl.weighting import TaskFacts, Weighting

if TYPE_CHECKING:
    from emomtl.plugins import Plugins

DEFAULT_EPOCHS = 3


@dataclass(frozen=True)
class BoundTask:
    """One task of a run: as its plugin declares it, with the manifest's head, source and numbers."""

    name: str
    task: Task
    head: Head
    table: TaskTable
    located: Located | None
    family: TaskFamily | None = None

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The labels; None for regression, or while they are not yet learned from the rows."""
        return self.task.taxonomy


@dataclass(frozen=True)
class Plan:
    """A run with every name resolved; `manifest` is complete: each option stands in it with its value."""

    manifest: Manifest
    folder: Path
    tasks: Mapping[str, BoundTask]
    sampler: Sampler
    weighting: Weighting
    encoder: EncoderChoice
    plugins: Plugins

    def with_taxonomies(self, taxonomies: Mapping[str, Taxonomy | None]) -> Plan:
        """The plan with the labels that were learned from rows, written into the manifest's `options.labels`."""
        tasks, tables = dict(self.tasks), dict(self.manifest.tasks)
        for name, bound in self.tasks.items():
            taxonomy = taxonomies.get(name)
            if bound.taxonomy is not None or taxonomy is None:
                continue
            tasks[name] = replace(bound, task=replace(bound.task, taxonomy=taxonomy))
            if bound.family is not None and hasattr(bound.family, "labels"):
                options = {**tables[name].options, "labels": list(taxonomy.names)}
                tables[name] = tables[name].model_copy(update={"options": options})
        return replace(self, tasks=tasks, manifest=self.manifest.model_copy(update={"tasks": tables}))


class _Composer:
    """Collects every problem while it resolves; each gets the line of its place in the manifest."""

    def __init__(self, plugins: Plugins, folder: Path, draft: Draft | None) -> None:
        self.plugins, self.folder, self.draft = plugins, folder, draft
        self.problems: list[Problem] = list(draft.problems) if draft else []

    def add(self, *problems: Problem, place: str | None = None) -> None:
        """Remember problems; `place` is the dotted key for those that come from a layer which does not know it."""
        for problem in problems:
            found = problem
            if place is not None and place not in problem.place:
                found = replace(problem, place=place, found=": ".join(part for part in (problem.place, problem.found) if part))
            if self.draft is not None:
                found = self.draft.placed(found)
            if found not in self.problems:
                self.problems.append(found)

    def doubtful(self, *parts: str) -> bool:
        """Whether reading already found a problem here, so that nothing more can be said of the place."""
        return self.draft is not None and self.draft.doubtful(*parts)

    def used(self, kind: str, use: Use, place: str) -> Any | None:
        """What `use` names, with its options checked."""
        if self.doubtful(*place.split("."), "use"):
            return None
        try:
            offer = self.plugins.offer(kind, use.use)
        except EmomtlError as error:
            self.add(*error.problems, place=f"{place}.use")
            return None
        return self.options(offer.value, use.options, place)

    def options(self, cls: type, options: Mapping[str, Any], place: str) -> Any | None:
        value, problems = read_options(cls, options, place)
        self.add(*problems)
        return value

    # -- tasks ----------------------------------------------------------------------------------------------------

    def task(self, name: str, table: TaskTable, training: bool) -> BoundTask | None:
        place = f"tasks.{name}"
        if self.doubtful("tasks", name, "use"):
            return None
        try:
            offered = self.plugins.offer("task", table.use or name).value
        except EmomtlError as error:
            self.add(*error.problems, place=f"{place}.use" if table.use else place)
            return None
        family: TaskFamily | None = None
        if isinstance(offered, Task):
            if table.options:
                self.add(Problem(f"{place}.options", f"task '{offered.name}' takes no options", "leave them out"))
            task = offered
        else:
            family = self.options(offered, table.options, f"{place}.options")
            if family is None:
                return None
            try:
                task = family.task()
            except EmomtlError as error:
                self.add(*error.problems, place=f"{place}.options")
                return None
        head = self.head(task, table.head, f"{place}.head")
        located: Located | None = None
        if head is not None and training:
            try:
                located = locate(task.layouts, table.source, self.folder, name)
            except EmomtlError as error:
                self.add(*error.problems, place=f"{place}.source" if table.source else place)
        return None if head is None or (training and located is None) else BoundTask(name, task, head, table, located, family)

    def head(self, task: Task, table: HeadTable | None, place: str) -> Head | None:
        if table is None:
            head: Head | None = task.head
        elif not table.use or table.use == task.head.kind:
            head = self.options(type(task.head), {**options_of(task.head), **table.options}, place)
        else:
            head = self.used("head", table, place)
        if head is None:
            return None
        learns = task.taxonomy is None and head.kind == "regression"
        try:
            head.check(task.taxonomy)
            if task.taxonomy is None and not learns and task.head.kind == "regression":
                raise EmomtlError("the task answers with numbers and has no labels", remedy='keep its "regression" head')
        except EmomtlError as error:
            self.add(*error.problems, place=place)
            return None
        return head

    # -- the rest -------------------------------------------------------------------------------------------------

    def encoder(self, table: EncoderTable, training: bool) -> EncoderChoice | None:
        name = table.use
        if self.doubtful("encoder", "use"):
            return None
        if not training:
            return EncoderChoice(name, name, table.revision, table.pooling or "mean", table.max_tokens, table.dropout)
        source = EncoderSource(hub=name)
        folder = self.folder / Path(name).expanduser()
        try:
            if "/" in name or name.startswith(".") or folder.is_dir():
                if folder.is_dir():
                    where = str(folder.resolve())
                elif name.count("/") == 1 and not name.startswith((".", "/", "~")):
                    where = name
                else:
                    raise EmomtlError(f"there is no folder {clean(str(folder))}", remedy="a short name, a hub id or a folder")
            else:
                source = self.plugins.offer("encoder", name).value
                where = source.locate()
        except EmomtlError as error:
            self.add(*error.problems, place="encoder.use")
            return None
        pooling = table.pooling or source.pooling
        return EncoderChoice(name, where, table.revision or source.revision, pooling, table.max_tokens, table.dropout)

    def select(self, wanted: str | None, tasks: Mapping[str, BoundTask]) -> str | None:
        if wanted is None:
            first = next(iter(tasks.values()))
            return f"{first.name}/{first.head.main_metric}"
        task, _, metric = wanted.partition("/")
        if task not in tasks:
            self.add(Problem("eval.select", f"'{task}' is no task of this run", suggest(task, tasks)))
        else:
            head, taxonomy = tasks[task].head, tasks[task].taxonomy
            if taxonomy is None and head.kind != "regression":  # learned from the rows later; its names change no figure's name
                taxonomy = Taxonomy(["one", "other"])
            known = metric_names(head, taxonomy)
            if metric not in known:
                self.add(Problem("eval.select", f"task '{task}' has no figure '{metric}'", suggest(metric, known)))
        return wanted

    def checks(
        self, manifest: Manifest, sampler: Sampler | None, weighting: Weighting | None, tasks: Mapping[str, BoundTask]
    ) -> None:
        """What can only be said of the parts together."""
        target = manifest.train.target
        if target is not None and target not in manifest.tasks:
            self.add(Problem("train.target", f"'{target}' is no task of this run", suggest(target, manifest.tasks)))
        if weighting is not None and weighting.joint and manifest.sampler.per_step == "one":
            remedy = '`sampler.per_step = "all"` puts every task into every step'
            self.add(Problem("weighting.use", f"'{manifest.weighting.use}' needs the losses of all tasks in one step", remedy))
        world = int(os.environ.get("WORLD_SIZE", "1") or "1")
        if world != manifest.devices:
            self.add(
                Problem("devices", f"the manifest asks for {manifest.devices} process(es), {world} run", "make the two agree")
            )
        elif world > 1:
            self.add(Problem("devices", f"{world} processes: this version trains in one", "devices = 1, without a launcher"))
        sizes = dict.fromkeys(manifest.tasks, 1)
        facts = {name: TaskFacts(1, max(1, len(t.head.outputs(t.taxonomy))), t.head.kind) for name, t in tasks.items()}
        for part, checked, arguments in (("sampler", sampler, sizes), ("weighting", weighting, facts)):
            try:
                if checked is not None and len(facts) == len(sizes):
                    checked.check(arguments)  # type: ignore[arg-type]
            except EmomtlError as error:
                self.add(*error.problems, place=part)


def compose(manifest: Manifest, plugins: Plugins, folder: Path, draft: Draft | None = None, training: bool = True) -> Plan:
    """Resolve every name of a manifest. `folder` is where relative paths start; `draft` knows lines and earlier problems.

    Without `training` neither the rows nor the pretrained encoder have to be there: a finished run is opened.
    """
    folder = Path(manifest.folder) if manifest.folder else folder.resolve()
    composer = _Composer(plugins, folder, draft)
    files = [Path(name).name for name in manifest.plugins if name.endswith(".py")]
    for name in sorted({name for name in files if files.count(name) > 1}):
        composer.add(Problem("plugins", f"two files are called {name}", "rename one; the run keeps a copy of each by its name"))
    for name in manifest.plugins:
        try:
            plugins.activate(name, folder)
        except EmomtlError as error:
            composer.add(*error.problems, place="plugins")
    bound = {name: composer.task(name, table, training) for name, table in manifest.tasks.items()}
    tasks = {name: task for name, task in bound.items() if task is not None}
    sampler = composer.used("sampler", manifest.sampler, "sampler")
    weighting = composer.used("weighting", manifest.weighting, "weighting")
    encoder = composer.encoder(manifest.encoder, training)
    composer.checks(manifest, sampler, weighting, tasks)
    select = composer.select(manifest.eval.select, tasks) if tasks else None
    if composer.problems:
        raise EmomtlError(*sorted(composer.problems, key=lambda problem: (problem.file, problem.line or 0)))
    assert sampler is not None
    assert weighting is not None
    assert encoder is not None
    assert select is not None
    complete = _complete(manifest, tasks, sampler, weighting, encoder, select, folder)
    return Plan(complete, folder, tasks, sampler, weighting, encoder, plugins)


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
