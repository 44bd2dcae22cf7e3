"""The same texts in the space of every run: pooled vectors, top answers, and which texts are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.taxonomy import Taxonomy
from emomtl.errors import EmomtlError, Problem, suggest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.contracts.heads import Head
    from emomtl.data.corpus import CorpusSplit, TaskData
    from emomtl.data.tokens import Tokens
    from emomtl.inference.evaluator import Evaluator
    from emomtl.inference.trained import TrainedRun
    from emomtl.plugins.discovery import Plugins


@dataclass(frozen=True)
class Question:
    """Which texts are asked about, and how runs are opened; `limit` texts at most, those whose hash is lowest."""

    task: str | None = None
    split: str = "validation"
    checkpoint: str = "best"
    sources: Mapping[str, str] = field(default_factory=dict)
    allow_changed: bool = False
    pretrained: bool = False
    device: str = "auto"
    limit: int = 5_000
    seed: int = 17


@dataclass(frozen=True)
class Texts:
    """The texts that every space holds, by their labels alone: `gold` (n,) has places in the taxonomy.

    They are the rows of the split with exactly one label; `rows` tells how many rows the split has.
    """

    task: str
    split: str
    taxonomy: Taxonomy
    gold: NDArray[np.int64]
    rows: int


@dataclass(frozen=True)
class Space:
    """The vectors (n, W) of the texts in one encoder, and the places of its top labels (n,); an encoder without head has none.

    `taught` has the groupings whose groups are the labels of another task of the run, with that task.
    """

    name: str
    about: str
    vectors: NDArray[np.float32]
    predicted: NDArray[np.int64] | None = None
    taught: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Chosen:
    """The texts of one run that are taken, with their words; never kept longer than it takes to encode them."""

    split: CorpusSplit
    gold: NDArray[np.int64]
    rows: int

    def same_as(self, other: _Chosen) -> bool:
        import numpy as np

        same = list(self.split.texts) == list(other.split.texts) and self.split.pairs == other.split.pairs
        return same and np.array_equal(self.gold, other.gold)


def gather(
    runs: Sequence[Path], discover: Callable[[], Plugins], question: Question, say: Callable[[str], None]
) -> tuple[Texts, list[Space], list[str]]:
    """Open each run and encode the texts; gives the texts, the spaces (pretrained encoders first) and notes on the rows.

    `discover` makes the plugins anew for each run: two runs may each have their own copy of one single-file plugin.
    EmomtlError where runs do not share a task with the same labels, or read other texts for it.
    """
    from emomtl.inference.trained import open_trained

    task = shared_task(runs, question.task)
    first: tuple[Taxonomy, _Chosen] | None = None
    spaces: list[Space] = []
    untrained: dict[tuple[Any, ...], Space] = {}
    notes: list[str] = []
    for folder in runs:
        say(f"{folder}: reading and encoding")
        plugins = discover()
        trained = open_trained(folder, question.checkpoint, plugins, question.device)
        trained.tasks(question.sources)
        taxonomy = trained.tasks([task])[task].taxonomy
        if taxonomy is None:
            remedy = "name a task with labels"
            raise EmomtlError(Problem("--task", f"'{task}' answers with numbers and has no labels in a space", remedy))
        chosen = _chosen(trained, task, question, notes)
        if first is None:
            first = taxonomy, chosen
        elif first[0].names != taxonomy.names:
            found = f"its labels of '{task}' are not those of {runs[0]}"
            raise EmomtlError(Problem(str(folder), found, "compare runs whose task has the same labels"))
        elif not chosen.same_as(first[1]):
            found = f"its texts of '{task}' in {question.split} are not those of {runs[0]}"
            raise EmomtlError(Problem(str(folder), found, f"name one place for all runs: --source {task}=PATH"))
        spaces.append(_space(trained, task, chosen))
        if question.pretrained:
            _add_untrained(untrained, trained, plugins, task, chosen, question.device)
    assert first is not None
    texts = Texts(task, question.split, first[0], first[1].gold, first[1].rows)
    return texts, _named_apart([*untrained.values(), *spaces]), list(dict.fromkeys(notes))


def shared_task(runs: Sequence[Path], wanted: str | None) -> str:
    """The task that is wanted, or the first run's first that all have and whose head is no regression; from manifests alone."""
    from emomtl.run import Run

    if not runs:
        raise EmomtlError(Problem("RUN", "no run is given", "name at least one run directory"))
    tables = [Run.open(folder).manifest.tasks for folder in runs]
    for folder, tasks in zip(runs, tables, strict=True):
        if wanted is not None and wanted not in tasks:
            raise EmomtlError(Problem("--task", f"'{wanted}' is no task of {folder}", suggest(wanted, tasks)))
    if wanted is not None:
        return wanted
    for name, table in tables[0].items():
        if all(name in tasks for tasks in tables) and (table.head is None or table.head.use != "regression"):
            return name
    raise EmomtlError(Problem("RUN", "the runs share no task with labels", "compare runs that were trained on one task"))


def _chosen(trained: TrainedRun, task: str, question: Question, notes: list[str]) -> _Chosen:
    """The texts of the split that have exactly one label, at most `limit`."""
    import numpy as np

    from emomtl.contracts.sources import stable_fraction
    from emomtl.data.corpus import CorpusSplit

    data: TaskData = trained.read_split(question.split, [task], question.sources, question.allow_changed)
    notes += data.notes
    rows = data.rows(task, question.split)
    head = trained.plan.tasks[task].head
    labels = only_labels(head, head.decided(rows.targets))
    held = data.corpus(task).splits[question.split]
    single = np.flatnonzero(labels >= 0)
    if len(single) > question.limit:
        places = np.array([stable_fraction(held.texts[at], question.seed) for at in rows.index[single]])
        single = np.sort(single[np.argsort(places, kind="stable")[: question.limit]])
    if len(single) < 3:
        found = f"{len(single)} of {len(rows):,} {question.split} rows have exactly one label"
        raise EmomtlError(Problem(f"tasks.{task}", found, "a space needs three texts at least"))
    at = rows.index[single]
    pairs = [held.pairs[i] for i in at] if held.pairs is not None else None
    return _Chosen(CorpusSplit(held.numbers[at], [held.texts[i] for i in at], pairs), labels[single], len(rows))


def only_labels(head: Head, targets: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each row's label where it has exactly one and nothing of it is unknown or soft, else -1: (n, ...) -> (n,)."""
    import numpy as np

    if targets.ndim == 1:
        return np.where(head.present(targets), targets, -1).astype(np.int64)
    hard = ((targets == 0) | (targets == 1)).all(axis=1)
    return np.where(hard & ((targets == 1).sum(axis=1) == 1), (targets == 1).argmax(axis=1), -1).astype(np.int64)


def _space(trained: TrainedRun, task: str, chosen: _Chosen) -> Space:
    """The space of a run's checkpoint."""
    bound = trained.plan.tasks[task]
    vectors, logits = _encoded(trained.evaluator, trained.tokens(chosen.split, task), [task])
    predicted = bound.head.probabilities(logits[task]).argmax(axis=1)
    assert bound.taxonomy is not None
    others = {name: set(one.taxonomy.names) for name, one in trained.plan.tasks.items() if name != task and one.taxonomy}
    taught = {g.name: name for g in bound.taxonomy.groupings for name, labels in others.items() if labels == set(g.names)}
    manifest = trained.plan.manifest
    about = f"{', '.join(trained.plan.tasks)}; step {trained.checkpoint.step:,}, seed {manifest.seed}, {manifest.encoder.use}"
    return Space(trained.run.name, about, vectors, predicted, taught)


def _add_untrained(
    found: dict[tuple[Any, ...], Space], trained: TrainedRun, plugins: Plugins, task: str, chosen: _Chosen, device: str
) -> None:
    """The space of the encoder from which a run began, once for each that differs."""
    from emomtl.compose import pretrained_choice
    from emomtl.data.tokens import tokenise
    from emomtl.model.device import choose_device
    from emomtl.model.encoder import load_encoder
    from emomtl.model.network import MultiTaskModel

    choice = pretrained_choice(trained.plan.manifest, plugins, trained.plan.folder).for_task(task)
    special = trained.plan.special_tokens
    key = (choice.where, choice.revision, choice.pooling, choice.max_tokens, choice.truncation, choice.layers, special)
    if key in found:
        return
    encoder = load_encoder(choice, special)
    where = choose_device(device)
    model = MultiTaskModel(encoder.module, choice.pooling, {}, layers=choice.layers).to(where)
    evaluator = replace(trained.evaluator, model=model, device=where)
    tokens = tokenise(encoder.tokenizer, chosen.split, choice.max_tokens, choice.truncation)
    vectors, _ = _encoded(evaluator, tokens, [])
    found[key] = Space(f"pretrained {choice.name}", f"before training; {choice.name}", vectors)


def _encoded(
    evaluator: Evaluator, tokens: Tokens, tasks: Sequence[str]
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """The encoder's pooled vectors (n, W), without features, and the logits of tasks; all of them finite."""
    import numpy as np

    from emomtl.inference.evaluator import require_finite

    vectors, logits = evaluator.embed(tokens, tasks)
    if not np.isfinite(vectors).all():
        remedy = "the run has diverged: take an earlier checkpoint"
        raise EmomtlError(Problem("RUN", "the encoder's vectors are not finite", remedy))
    for task, found in logits.items():
        require_finite(task, found, "these texts")
    return vectors, logits


def _named_apart(spaces: Sequence[Space]) -> list[Space]:
    """Spaces of one name get numbers, in the order in which they are given."""
    names = [space.name for space in spaces]
    return [
        replace(space, name=f"{space.name} ({names[: place + 1].count(space.name)})") if names.count(space.name) > 1 else space
        for place, space in enumerate(spaces)
    ]
