"""`emomtl analyse attribution`: do runs decide by known emotion words?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le

from emomtl.analyses.runs import CHECKPOINT, SPLIT, TASK, FirstRun, about_run, labelled_task, option
from emomtl.contracts.analysis import Analysis, Picture, Result
from emomtl.contracts.hookspecs import hookimpl

if TYPE_CHECKING:
    from emomtl.analyses.attribution.words import WordList
    from emomtl.analyses.runs import RunFolder, RunFolders
    from emomtl.inference.trained import TrainedRun


@dataclass(frozen=True)
class AttributionAnalysis(Analysis):
    """Do runs decide by known emotion words? Integrated gradients of the true labels, summed to
    words; needs captum.
    """

    task: str | None = option(None, TASK)
    words: str = option(
        "definitions",
        "Known emotion words: `definitions` of the labels, `lexicon` of the training rows, or a"
        " file, one word a line.",
        metavar="LIST",
    )
    split: str = option("validation", SPLIT)
    checkpoint: str = option("best", CHECKPOINT)
    limit: Annotated[int, Ge(3)] = option(500, "Texts at most; those whose hash is lowest.")
    blank: Literal["mask", "pad"] = option(
        "mask", "The token that stands in the text without content."
    )
    steps: Annotated[int, Ge(2), Le(512)] = option(
        32, "Points on the path from that text, at first; doubled where they are too few."
    )
    examples: Annotated[int, Ge(0)] = option(
        0, "With --out: so many texts, coloured, in attribution.html."
    )
    seed: Annotated[int, Ge(0)] = option(17, "Of the samples of texts.")

    def run(self, runs: RunFolders) -> Result:
        """Attribute the labels' log-odds of every run to words, over the same texts.

        A lexicon is that of the first run's training rows, for all runs. EmomtlError where captum
        is missing, examples of a sensitive task are wanted, or runs do not share a task with the
        same labels and texts.
        """
        from emomtl.analyses.attribution import report
        from emomtl.analyses.attribution.gradients import attribute, check_captum
        from emomtl.analyses.attribution.page import page
        from emomtl.analyses.attribution.texts import check_examples, choose

        check_captum()
        task = runs.shared_task(self.task)
        first = FirstRun(task, self.split)
        made: report.Attribution | None = None
        for run in runs:
            runs.say(f"{run.folder}: reading")
            trained = run.trained(self.checkpoint)
            _, taxonomy = labelled_task(trained, task)
            words = made.words if made is not None else self._words(run, trained, task)
            notes: list[str] = []
            chosen = choose(run, trained, task, self, words, notes)
            if self.examples:
                check_examples(task, chosen)
            first.require_same(run.folder, taxonomy.names, chosen.split, chosen.labels)
            if made is None:
                made = report.Attribution(task, self, taxonomy, words, chosen)
            made.notes += notes
            labels, texts = sum(map(len, chosen.labels)), len(chosen.labels)
            runs.say(f"{run.folder}: attributing {labels:,} labels of {texts:,} texts to words")
            attributed = attribute(trained, task, chosen, self.blank, self.steps)
            made.add(run.name, about_run(trained), attributed)
        assert made is not None
        return Result(
            f"Attribution of {task} on {self.split}",
            report.tables(made),
            [Picture("Attribution on emotion words", "attribution", report.figure(made))],
            data=report.as_json(made),
            pages={"attribution.html": page(made, self.examples)} if self.examples else {},
        )

    def _words(self, run: RunFolder, trained: TrainedRun, task: str) -> WordList:
        """The known emotion words."""
        from emomtl.analyses.attribution.words import definition_words, file_words, lexicon_words
        from emomtl.inference.feature_vectors import training_rows

        if self.words == "definitions":
            return definition_words(labelled_task(trained, task)[1])
        if self.words == "lexicon":
            return lexicon_words(training_rows(run.read_training(trained, task), task))
        return file_words(Path(self.words))


@hookimpl
def emomtl_analyses() -> dict[str, type[Any]]:
    """Offer `attribution`."""
    return {"attribution": AttributionAnalysis}
