"""The analysis `errors-by-length`: are long texts predicted worse than short ones?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from emomtl import Analysis, Picture, Predictions, Result, Runs, Table, hookimpl


@dataclass(frozen=True)
class ErrorsByLength(Analysis):
    """How often the most probable label is wrong, for short and for long texts."""

    words: Annotated[int, Ge(1)] = field(default=10, metadata={"description": "Words of the longest text that counts as short."})
    split: str = field(default="validation", metadata={"description": "`validation` or `test`."})

    report_options: ClassVar = {}

    def run(self, runs: Runs) -> Result:
        """A row for each run, task and length."""
        rows: list[tuple[Any, ...]] = []
        for run in runs:
            for task, predictions in run.predictions(self.split).items():
                rows += [(run.name, task, *row) for row in self.errors(predictions)]
        columns = ("run", "task", "words", "texts", "error rate")
        table = Table("Errors by length", columns, tuple(rows))
        picture = Picture("Error rate of short and long texts", "errors-by-length", figure(rows))
        return Result("Errors by length", [table], [picture])

    def errors(self, predictions: Predictions) -> Iterable[tuple[str, int, float]]:
        """Length, number of texts and error rate; nothing for a task without exactly one label a text."""
        if not predictions.labels or predictions.targets.ndim > 1:
            return
        wrong = predictions.probabilities.argmax(axis=1) != predictions.targets
        long = [len(text.split()) > self.words for text in predictions.texts]
        for name, chosen in (("short", [not one for one in long]), ("long", long)):
            if any(chosen):
                yield name, sum(chosen), float(wrong[chosen].mean())


def figure(rows: list[tuple[Any, ...]]) -> Any:
    """A bar for each row."""
    from matplotlib.figure import Figure

    drawn = Figure(layout="constrained")
    names = [f"{run} {task}: {length}" for run, task, length, _, _ in rows]
    drawn.add_subplot().barh(range(len(rows)), [row[-1] for row in rows], tick_label=names)
    return drawn


@hookimpl
def emomtl_analyses() -> dict[str, type[Analysis]]:
    """Offer `errors-by-length`."""
    return {"errors-by-length": ErrorsByLength}
