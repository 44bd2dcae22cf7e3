"""From run directories to attributions over the same texts, and into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.analyses.attribution.focus import focus_of, shares_of
from emomtl.analyses.attribution.gradients import STEPS, Blank, attribute, check_captum
from emomtl.analyses.attribution.result import Analysis, Explained
from emomtl.analyses.attribution.texts import Chosen, check_examples, choose
from emomtl.analyses.attribution.words import DEFINITIONS, LEXICON, WordList, definition_words, file_words, lexicon_words
from emomtl.analyses.space.vectors import Question, shared_task
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.inference.trained import TrainedRun
    from emomtl.plugins.discovery import Plugins


def analyse(
    runs: Sequence[Path],
    discover: Callable[[], Plugins],
    question: Question,
    words: str = DEFINITIONS,
    blank: Blank = "mask",
    steps: int = STEPS,
    examples: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Analysis:
    """Attribute the labels' log-odds of every run, over the same texts.

    `words` is "definitions", "lexicon" or a file; a lexicon is that of the first run's training rows, for all runs. EmomtlError
    where captum is missing, `examples` of a sensitive task are wanted, or runs do not share a task with the same labels and
    texts.
    """
    from emomtl.inference.trained import open_trained

    check_captum()
    task = shared_task(runs, question.task)
    notes: list[str] = []
    explained: list[Explained] = []
    first: tuple[Taxonomy, WordList, Chosen] | None = None
    for folder in runs:
        say(f"{folder}: reading")
        trained = open_trained(folder, question.checkpoint, discover(), question.device)
        trained.tasks(question.sources)
        taxonomy = _taxonomy(trained, task)
        listed = _listed(words, trained, task, question) if first is None else first[1]
        chosen = choose(trained, task, question, listed, notes)
        if examples:
            check_examples(task, chosen)
        if first is None:
            first = taxonomy, listed, chosen
        elif first[0].names != taxonomy.names:
            found = f"its labels of '{task}' are not those of {runs[0]}"
            raise EmomtlError(Problem(str(folder), found, "compare runs whose task has the same labels"))
        elif not chosen.same_as(first[2]):
            found = f"its texts of '{task}' in {question.split} are not those of {runs[0]}"
            raise EmomtlError(Problem(str(folder), found, f"name one place for all runs: --source {task}=PATH"))
        say(f"{folder}: attributing {sum(map(len, chosen.labels)):,} labels of {len(chosen.labels):,} texts to their words")
        made = attribute(trained, task, chosen, blank, steps)
        figures = focus_of(shares_of(made, listed), question.seed)
        reference = explained[0].figures if explained else {}
        differences = {name: figures[name].minus(other) for name, other in reference.items()}
        manifest = trained.plan.manifest
        about = f"{', '.join(trained.plan.tasks)}; step {trained.checkpoint.step:,}, seed {manifest.seed}, {manifest.encoder.use}"
        explained.append(Explained(trained.run.name, about, made, figures, differences))
    assert first is not None
    return Analysis(task, question, blank, first[0], first[1], first[2], explained, list(dict.fromkeys(notes)))


def write(found: Analysis, folder: Path, examples: int, say: Callable[[str], None]) -> None:
    """Write attribution.json, attribution.md, the picture and, with `examples`, attribution.html; files there are replaced."""
    from emomtl.analyses.attribution.page import page
    from emomtl.analyses.attribution.picture import picture
    from emomtl.analyses.attribution.report import as_json, as_markdown
    from emomtl.safety.files import storage, write_bytes, write_json

    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    drawn = picture(found, folder / "attribution.png")
    write_json(folder / "attribution.json", as_json(found))
    links = {"Attribution on emotion words": os.path.relpath(drawn, folder)}
    write_bytes(folder / "attribution.md", as_markdown(found, links).encode())
    names = ["attribution.json", "attribution.md", drawn.name]
    if examples:
        write_bytes(folder / "attribution.html", page(found, examples).encode())
        names.append("attribution.html")
    for name in names:
        say(f"wrote {folder / name}")


def _taxonomy(trained: TrainedRun, task: str) -> Taxonomy:
    bound = trained.tasks([task])[task]
    if bound.taxonomy is None or bound.head.answers != "labels":
        found = f"'{task}' answers without labels: there are no log-odds to attribute"
        raise EmomtlError(Problem("--task", found, "name a task with labels"))
    return bound.taxonomy


def _listed(words: str, trained: TrainedRun, task: str, question: Question) -> WordList:
    from emomtl.inference.feature_vectors import training_rows

    if words == DEFINITIONS:
        return definition_words(_taxonomy(trained, task))
    if words == LEXICON:
        data = trained.read_as_trained(task, question.sources, question.allow_changed)
        return lexicon_words(training_rows(data, task))
    return file_words(Path(words))
