"""A run directory, opened without its model: plan, rows, tuned thresholds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from emomtl.compose import Plan, compose
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.data.bound_task import BoundTask, ReadOptions
from emomtl.data.corpus import TaskData
from emomtl.data.leaks import Leaks
from emomtl.data.locate import locate
from emomtl.data.located import Located
from emomtl.data.shared_source import sources_for_all
from emomtl.data.tasks import read_tasks
from emomtl.errors import EmomtlError, Problem, clean, suggest
from emomtl.inference.plugin_files import manifest_with_copies, needs_trust
from emomtl.metrics.tuning import TaskTuning
from emomtl.plugins.discovery import Plugins
from emomtl.run import Checkpoint, Run, open_which
from emomtl.run.tuned import tuning_of


@dataclass(frozen=True)
class OpenedRun:
    """A run with one of its checkpoints; `which` (`best`, `last`, a step) is its name.

    Reading rows: `sources` says by task where its rows are, else they are read where the run read
    them. A corpus that differs from the one trained on is an error, unless `allow_changed`. All
    that is wrong comes in one EmomtlError.
    """

    run: Run
    plan: Plan
    checkpoint: Checkpoint
    which: str

    def tasks(self, names: Collection[str] = ()) -> dict[str, BoundTask]:
        """The tasks with these names, or all; EmomtlError for a name that no task has."""
        for name in names:
            if name not in self.plan.tasks:
                finding = f"'{clean(name)}' is no task of this run"
                raise EmomtlError(Problem("--task", finding, suggest(name, self.plan.tasks)))
        tasks = self.plan.tasks.items()
        return {name: bound for name, bound in tasks if not names or name in names}

    @property
    def paired(self) -> frozenset[str]:
        """The tasks that were trained on two texts a row."""
        recorded = self.run.environment.get("pairs")
        if recorded is not None:
            return frozenset(recorded)
        # A run of an emomtl that did not record it: tasks with an option `pair`.
        paired = set()
        for name, bound in self.plan.tasks.items():
            if getattr(bound.family, "pair", None) is not None:
                paired.add(name)
        return frozenset(paired)

    def tunings(self, names: Collection[str] = ()) -> dict[str, TaskTuning]:
        """Tuned thresholds and temperatures of the checkpoint, by task, where there are any."""
        tunings: dict[str, TaskTuning] = {}
        for name, bound in self.tasks(names).items():
            checkpoint = self.checkpoint.path.name
            tuning = tuning_of(self.run, checkpoint, name, bound.head, bound.outputs)
            if tuning is not None:
                tunings[name] = tuning
        return tunings

    def read_split(
        self,
        split: str,
        names: Collection[str] = (),
        sources: Mapping[str, str] | None = None,
        allow_changed: bool = False,
        unseen_count: bool = False,
    ) -> TaskData:
        """The rows of one split of the tasks with these names, or of all.

        With `unseen_count` rows with a label that the model does not have are read, and count as
        wrong; else they are bad rows.
        """
        options = ReadOptions(
            (split,),
            self.plan.manifest.data.on_bad_row,
            need_train=False,
            limited=(),
            label_noise=False,
            unseen_in=(split,) if unseen_count else (),
        )
        return read_tasks(self._located(names, sources, allow_changed), options)

    def read_as_trained(
        self, name: str, sources: Mapping[str, str] | None = None, allow_changed: bool = False
    ) -> TaskData:
        """A task's training and validation rows as the run had them: limits, label noise, no leaks.

        Which rows leak depends on every task, so where the run drops them all tasks are read.
        """
        manifest = self.plan.manifest
        names: Collection[str] = ()
        if not manifest.data.drop_leaks:
            noise_from = manifest.tasks[name].label_noise_from
            names = (name,) if noise_from is None else (name, noise_from)
        options = ReadOptions(
            ("train", "validation"),
            manifest.data.on_bad_row,
            leaks="drop" if manifest.data.drop_leaks else "keep",
            seed=manifest.seed,
        )
        return read_tasks(self._located(names, sources, allow_changed), options)

    def leaks(self, sources: Mapping[str, str] | None = None) -> dict[str, Leaks]:
        """By task the training rows whose text stands in validation or test of any task."""
        on_bad_row = self.plan.manifest.data.on_bad_row
        options = ReadOptions(("train",), on_bad_row, leaks="count", limited=(), label_noise=False)
        return read_tasks(self._located((), sources, allow_changed=False), options).leaks

    def check_corpora(
        self, sources: Mapping[str, str] | None = None, allow_changed: bool = False
    ) -> None:
        """Raise `EmomtlError` where a corpus is missing, or is not the one trained on."""
        self._located((), sources, allow_changed)

    def _located(
        self, names: Collection[str], sources: Mapping[str, str] | None, allow_changed: bool
    ) -> list[BoundTask]:
        """The tasks with their rows found; one EmomtlError with all that is wrong."""
        tasks: list[BoundTask] = []
        problems: list[Problem] = []
        all_tasks = self.plan.tasks.items()
        corpora = {name: (bound.task.layouts, bound.source) for name, bound in all_tasks}
        places = sources_for_all(sources or {}, corpora)
        for name, bound in self.tasks(names).items():
            try:
                source = places.get(name, bound.source)
                located = locate(bound.task.layouts, source, self.plan.folder, name)
            except EmomtlError as error:
                problems += error.problems
                continue
            tasks.append(replace(bound, located=located))
            if not allow_changed:
                problems += self._changed_corpus(name, located)
        if problems:
            raise EmomtlError(*problems)
        return tasks

    def _changed_corpus(self, name: str, located: Located) -> list[Problem]:
        """The problem of a corpus that is not the one trained on; nothing where it is."""
        environment, fingerprint = self.run.environment, located.fingerprint()
        if environment.get("data", {}).get(name) in (None, fingerprint):
            return []
        finding = "the corpus is not the one that the run was trained on"
        for change in environment.get("changes", []):
            if change["environment"].get("data", {}).get(name) == fingerprint:
                finding = (
                    f"the run was trained on this corpus up to step {change['step']:,}, "
                    "and on another one since"
                )
        remedy = "name the other one with --source, or --allow-changed data"
        return [Problem(f"tasks.{name}", finding, remedy)]


def open_run(folder: Path, which: str, plugins: Plugins) -> OpenedRun:
    """Open a run's checkpoint (`best`, `last` or a step) without its weights.

    EmomtlError where files are damaged, where the run brings plugin files that are not trusted, or
    where the plugins' labels are not those that the checkpoint was trained with.
    """
    run = Run.open(folder)
    checkpoint = open_which(run, which)
    # before composing, which imports them
    untrusted = [path for path in run.plugin_files if not plugins.trusts(path)]
    if untrusted:
        raise EmomtlError(needs_trust(run.folder, untrusted))
    plan = compose(manifest_with_copies(run), plugins, run.folder, training=False)
    return OpenedRun(run, _with_labels(plan, checkpoint), checkpoint, which)


def _with_labels(plan: Plan, checkpoint: Checkpoint) -> Plan:
    """The plan with the labels of the checkpoint, which has to agree with what the plugins say."""
    labels = checkpoint.labels
    problems: list[Problem] = []
    taxonomies: dict[str, Taxonomy] = {}
    for name, bound in plan.tasks.items():
        if name not in labels:
            finding = "the checkpoint does not say what its head answers with"
            remedy = "use another checkpoint of the run"
            problems.append(Problem(f"tasks.{name}", finding, remedy))
        elif bound.head.answers == "labels":
            taxonomies[name] = Taxonomy(labels[name])
    if problems:
        raise EmomtlError(*problems)
    plan = plan.with_taxonomies(taxonomies)
    # labels that a plugin declares stay; those have to be the checkpoint's
    for name, bound in plan.tasks.items():
        if list(bound.outputs) != labels[name]:
            number = len(labels[name])
            finding = f"the checkpoint answers with {number} labels that are not the plugin's"
            remedy = "install the plugin's version that the run records in environment.json"
            raise EmomtlError(Problem(f"tasks.{name}", finding, remedy))
    return plan
