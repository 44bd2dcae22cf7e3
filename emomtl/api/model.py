"""A trained run, opened for predictions."""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.api.tables import metrics_html
from emomtl.data.corpus import CorpusSplit
from emomtl.errors import EmomtlError
from emomtl.export.exporting import Exported, ExportOrder, export_run
from emomtl.inference.text_model import AnswerHead, TextModel
from emomtl.inference.trained import TrainedRun
from emomtl.metrics.tuning import WRITTEN
from emomtl.safety.escaping import encodable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emomtl.model.loaded import EncoderChoice
    from emomtl.plugins.discovery import Plugins
    from emomtl.run import Run


class Model(TextModel):
    """The model of one checkpoint of a run. Made by `emomtl.load`."""

    def __init__(self, trained: TrainedRun, plugins: Plugins) -> None:
        self._trained, self._plugins = trained, plugins
        heads = {}
        for name, bound in trained.plan.tasks.items():
            if bound.head.answers != "nothing":
                sensitive = bound.task.sensitive
                heads[name] = AnswerHead(bound.head, bound.taxonomy, bound.outputs, sensitive)
        asked = [name for name, answering in heads.items() if answering.head.by_thresholds]
        tunings = trained.tunings(asked) if asked else {}
        tuned = {
            name: tuning.thresholds[WRITTEN["tuned"]].values for name, tuning in tunings.items()
        }
        super().__init__(heads, tuned)

    @property
    def run(self) -> Run:
        """The run's folder."""
        return self._trained.run

    @property
    def paired(self) -> frozenset[str]:
        """The tasks that were trained on pairs of texts."""
        return frozenset(self.tasks) & self._trained.paired

    def logits(
        self, texts: Sequence[str], pairs: Sequence[str] | None, tasks: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """The logits (n, L) of each task; tasks that read texts of one length share an encoder
        pass.
        """
        trained = self._trained
        split = CorpusSplit(
            np.arange(len(texts)), list(texts), None if pairs is None else list(pairs)
        )
        tasks_by_choice: dict[EncoderChoice, list[str]] = {}
        for task in tasks:
            tasks_by_choice.setdefault(trained.plan.encoder.for_task(task), []).append(task)
        logits: dict[str, NDArray[np.float32]] = {}
        for together in tasks_by_choice.values():
            tokens = trained.tokens(split, together[0])
            logits |= trained.evaluator.logits(tokens, together)
        return logits

    def embed(self, texts: str | Sequence[str]) -> NDArray[np.float32]:
        """The encoder's pooled vectors (n, W) of texts; one text is one row.

        EmomtlError where a change of the encoder makes them depend on the task.
        """
        given = [encodable(text) for text in ([texts] if isinstance(texts, str) else texts)]
        trained = self._trained
        if trained.model.changes.per_task:
            found = (
                "this encoder answers each task in its own way, and has no one vector for a text"
            )
            raise EmomtlError(found, remedy="use a run without changes of the encoder by task")
        tokens = trained.tokens(CorpusSplit(np.arange(len(given)), given), self.tasks[0])
        return trained.evaluator.embed(tokens)[0]

    def evaluate(
        self,
        split: str = "validation",
        tasks: Collection[str] = (),
        sources: Mapping[str, str] | None = None,
    ) -> dict[str, dict[str, float | None]]:
        """The metrics of each task on a split, by full names; they are added to the run's scores.

        Every look at `test` is counted, as by `emomtl eval`.
        """
        scores = self._trained.evaluate(split, tasks, sources).scores
        return {task: dict(score.metrics) for task, score in scores.items()}

    def export(
        self, format: str, out: str | Path, tasks: Collection[str] = (), **options: Any
    ) -> list[Exported]:
        """Write the model in another format; `options` are fields of `ExportOrder`."""
        order = ExportOrder(
            self.run.folder,
            format,
            Path(out),
            tuple(tasks),
            str(self._trained.checkpoint.step),
            self._trained.weights,
            **options,
        )
        return export_run(order, self._plugins)

    @property
    def scores(self) -> list[dict[str, Any]]:
        """Every evaluation of the run, a row a metric: what `pandas.DataFrame` takes."""
        rows = []
        for entry in self.run.scores():
            for task, score in entry["tasks"].items():
                for metric, value in score["metrics"].items():
                    where = {
                        "split": entry["split"],
                        "checkpoint": entry["checkpoint"],
                        "step": entry["step"],
                    }
                    rows.append({**where, "task": task, "metric": metric, "value": value})
        return rows

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was logged while the run trained, a row an event."""
        return list(self.run.events())

    def __repr__(self) -> str:
        tasks = ", ".join(f"{task} ({len(self.labels(task))})" for task in self.tasks)
        return f"Model({self.run.name!r}, step {self._trained.checkpoint.step:,}, tasks: {tasks})"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(repr(self))}</b></p>{metrics_html(self.run)}"
