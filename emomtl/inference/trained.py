"""A run directory, opened with the model of one of its checkpoints: tokens, predictions, scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from emomtl.compose import BoundTask
from emomtl.data.cache.tokens import corpus_tokens
from emomtl.data.corpus import CorpusSplit, TaskData
from emomtl.data.tokens import Tokens, tokenise
from emomtl.errors import EmomtlError, clean
from emomtl.inference.evaluator import Evaluation, Evaluator, Predictions
from emomtl.inference.feature_vectors import FittedFeatures, reopen
from emomtl.inference.opened import OpenedRun, open_run
from emomtl.metrics.scoring import TaskScores, Tuned
from emomtl.metrics.selection import EMA, RAW
from emomtl.metrics.tuning import TaskTuning
from emomtl.model.build import build_model, change_encoder, restore_model
from emomtl.model.device import choose_device, choose_precision
from emomtl.model.encoder import rebuild_encoder
from emomtl.model.network import MultiTaskModel
from emomtl.plugins.discovery import Plugins
from emomtl.run import Checkpoint, choose_weights, open_which
from emomtl.run.predictions import save_predictions, scored_own_rows
from emomtl.run.tuned import fit_tasks, keep_tunings


class RunScores(NamedTuple):
    """Scores by task, how often this checkpoint has now been scored on this split, and notes."""

    scores: dict[str, TaskScores]
    look: int
    notes: list[str]


@dataclass(frozen=True)
class TrainedRun(OpenedRun):
    """A run with the model of one checkpoint on a device.

    `weights` are `raw`, those that the optimiser moved, or `ema`, their moving average.
    """

    evaluator: Evaluator
    tokenizer: Any
    features: FittedFeatures
    weights: str = RAW

    @property
    def model(self) -> MultiTaskModel:
        """The model, in evaluation mode."""
        return self.evaluator.model

    @property
    def chosen_weights(self) -> bool:
        """Whether these weights are those by which the run chose its best checkpoint.

        Only their scores stand for the run.
        """
        return self.weights == (self.run.manifest.eval.weights or RAW)

    def tunings(self, names: Collection[str] = ()) -> dict[str, TaskTuning]:
        """As of an opened run; none for weights that did not choose the best checkpoint.

        Thresholds are tuned on predictions that are kept, and theirs are not.
        """
        if not self.chosen_weights:
            return {}
        return super().tunings(names)

    def tokens(self, texts: CorpusSplit, task: str) -> Tokens:
        """Texts as the model reads them for a task, with their features; nothing is cached."""
        choice = self.plan.encoder.for_task(task)
        tokens = tokenise(self.tokenizer, texts, choice.max_tokens, choice.truncation)
        return self.features.beside(tokens, texts)

    def corpus_tokens(self, data: TaskData) -> dict[tuple[str, str], Tokens]:
        """The same for all rows that were read, by (corpus, split); tokens come from the cache."""
        choice = self.plan.encoder
        note = data.notes.append
        tokens = corpus_tokens(data, self.tokenizer, choice.max_tokens, note, choice.truncation)
        return self.features.beside_all(data, tokens)

    def evaluate(
        self,
        split: str,
        names: Collection[str] = (),
        sources: Mapping[str, str] | None = None,
        allow_changed: bool = False,
        keep_predictions: bool = True,
        unseen: Literal["refuse", "wrong"] | None = None,
    ) -> RunScores:
        """Score tasks on a split and add the scores to the run's `scores.json`.

        With `keep_predictions` targets and probabilities are kept in the run; of validation the
        thresholds and temperatures that are tuned on them, too. `unseen` says what becomes of rows
        with labels that the model does not have, else the manifest (`data.unseen_labels`) does.
        Metrics at tuned thresholds are cross-fitted on validation; on other splits they need kept
        validation predictions. For `sources` and `allow_changed` see `OpenedRun`.
        """
        tasks = self.tasks(names)
        tuned, notes = self._tuned(tasks, split)
        policy = unseen or self.plan.manifest.data.unseen_labels
        unseen_count = policy == "wrong" and split != "train"
        data = self.read_split(split, names, sources, allow_changed, unseen_count)
        evaluation = self.evaluator.evaluate(tasks, data, self.corpus_tokens(data), split, tuned)
        entry = self._entry(split, data, evaluation)
        if keep_predictions and self.chosen_weights:
            self._keep(evaluation.predictions, entry)
        return RunScores(evaluation.scores, self.run.add_scores(entry), [*data.notes, *notes])

    def _entry(self, split: str, data: TaskData, evaluation: Evaluation) -> dict[str, Any]:
        """The entry of scores.json."""
        entry = {
            "split": split,
            "which": self.which,
            "checkpoint": self.checkpoint.path.name,
            "step": self.checkpoint.step,
            "by": "eval",
            "data": data.fingerprints,
            "tasks": {name: scores.as_json() for name, scores in evaluation.scores.items()},
        }
        if self.checkpoint.has(EMA) or "weights" in self.checkpoint.state:
            entry["weights"] = self.weights
        if not self.chosen_weights:  # a look at these rows, and not the score of the run
            entry |= {"by": "other-weights", "which": f"{self.which}, {self.weights} weights"}
        return entry

    def _keep(self, predictions: Mapping[str, Predictions], entry: dict[str, Any]) -> None:
        """Keep predictions, and what is tuned on those of the run's own validation rows."""
        run, checkpoint, split = self.run, self.checkpoint.path.name, entry["split"]
        entry["answers"] = save_predictions(run, split, checkpoint, predictions)
        if split == "validation":
            own_rows: dict[str, Predictions] = {}
            for name, of_task in predictions.items():
                if scored_own_rows(run.environment, entry, name):
                    own_rows[name] = of_task
            keep_tunings(run, checkpoint, fit_tasks(self.tasks(own_rows), own_rows))

    def _tuned(
        self, tasks: Mapping[str, BoundTask], split: str
    ) -> tuple[dict[str, Tuned], list[str]]:
        """How tasks are scored at tuned thresholds, and a note for each of which none are known."""
        names = [name for name, bound in tasks.items() if bound.head.by_thresholds]
        if split == "validation":
            return dict.fromkeys(names, Tuned.cross_fitted()), []
        tunings = self.tunings(names) if names else {}
        tuned = {name: Tuned.on_validation(tuning) for name, tuning in tunings.items()}
        folder = clean(str(self.run.folder), 300)
        remedy = f"`emomtl eval {folder} --split validation --checkpoint {self.which}` keeps them"
        if not self.chosen_weights:
            remedy = (
                "thresholds are kept of the weights that chose the best checkpoint alone: "
                "leave --weights out"
            )
        finding = (
            "no metrics at tuned thresholds: "
            "what this checkpoint answered on validation was not kept"
        )
        notes = [f"{name}: {finding}; {remedy}" for name in names if name not in tuned]
        return tuned, notes


def open_trained(
    folder: Path, which: str, plugins: Plugins, device: str = "auto", weights: str | None = None
) -> TrainedRun:
    """Open a run's checkpoint as `open_run` does, with its model on a device.

    `weights` are `raw` or `ema`; left out, those by which the run chose its best checkpoint.
    """
    opened = open_run(folder, which, plugins)
    plan, run = opened.plan, opened.run
    # changes before heads and weights: the checkpoint names parameters as the changes do
    weights_bytes = opened.checkpoint.size("model")
    encoder = rebuild_encoder(plan.encoder, run.kept_encoder(), weights_bytes)
    encoder = change_encoder(plan, encoder)
    features = reopen(plan.features, run)
    model = build_model(plan, encoder, features.width)
    weights = choose_weights(run, opened.checkpoint, weights, "--weights")
    checkpoint = _restore(model, opened, weights)
    device = choose_device(device)
    model.to(device).eval()
    precision = choose_precision(plan.manifest.train.precision, device)
    evaluator = Evaluator(model, device, precision, plan.manifest.eval.batch_size)
    return TrainedRun(run, plan, checkpoint, which, evaluator, encoder.tokenizer, features, weights)


def _restore(model: MultiTaskModel, opened: OpenedRun, weights: str) -> Checkpoint:
    """Load the weights of a checkpoint.

    A run that is still training may remove the checkpoint meanwhile; then the one that `which`
    means by now is loaded.
    """
    checkpoint = opened.checkpoint
    while True:
        try:
            restore_model(model, checkpoint, weights)
            return checkpoint
        except EmomtlError:
            if checkpoint.path.is_dir():
                raise
            checkpoint = open_which(opened.run, opened.which)
