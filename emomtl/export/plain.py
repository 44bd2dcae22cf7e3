"""A trained run as exporters see it: a plain encoder with heads, or why it is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emomtl.contracts.encoder import HEAD
from emomtl.contracts.exporter import Activation, ModelToExport, TaskToExport
from emomtl.contracts.heads import TokenHead
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.inference.trained import TrainedRun
from emomtl.metrics.tuning import WRITTEN

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from emomtl.compose import BoundTask
    from emomtl.contracts.heads import Head

PLACE = "export"


def model_to_export(
    trained: TrainedRun, tasks: Mapping[str, BoundTask], tuned: bool
) -> ModelToExport:
    """The model of these tasks on the CPU; EmomtlError names everything that no format can express.

    With `tuned`, thresholds are those that the run tuned on validation.
    """
    choice = trained.plan.encoder
    obstacles = _obstacles(trained, tasks)
    if obstacles:
        raise EmomtlError(*(Problem(PLACE, found, remedy) for found, remedy in obstacles))
    thresholds = _thresholds(trained, tasks, tuned)
    trained.model.cpu().eval()
    exported = {
        name: TaskToExport(
            name,
            bound.outputs,
            trained.model.heads[trained.model.ties.get(name, name)],
            _activation(name, bound.head, len(bound.outputs)),
            thresholds.get(name),
            name in trained.paired,
        )
        for name, bound in tasks.items()
    }
    (length,) = {choice.for_task(name).max_tokens for name in tasks}
    return ModelToExport(
        _plain_encoder(trained), trained.tokenizer, choice.pooling, length, exported
    )


def _obstacles(trained: TrainedRun, tasks: Mapping[str, BoundTask]) -> list[tuple[str, str]]:
    """What no other software has a place for: (finding, remedy) each."""
    choice, found = trained.plan.encoder, []
    if trained.features.width:
        names = ", ".join(trained.plan.manifest.features)
        found.append(
            (f"heads read features beside the encoder ({names})", "train without [features]")
        )
    if choice.truncation != HEAD:
        what = f"texts are cut to their {choice.truncation.keep} (encoder.truncation)"
        found.append((what, 'train with truncation = "head"'))
    if choice.layers.number != 1:
        what = f"heads read the last {choice.layers.number} layers (encoder.layers)"
        found.append((what, "train with layers = 1"))
    if trained.model.changes.per_task:
        names = ", ".join(change.use for change in trained.plan.manifest.encoder.changes)
        found.append(
            (f"the encoder answers each task in its own way ({names})", "train without this change")
        )
    if len({choice.for_task(name).max_tokens for name in tasks}) > 1:
        lengths = ", ".join(f"{name} {choice.for_task(name).max_tokens}" for name in tasks)
        found.append(
            (f"tasks read texts of unlike length ({lengths} tokens)", "export one with --task")
        )
    for name, bound in tasks.items():
        if isinstance(bound.head, TokenHead):
            found.append(
                (f"'{name}' reads tokens, not a text's vector", "name other tasks with --task")
            )
    return found


def _activation(name: str, head: Head, labels: int) -> Activation:
    """Which function of the logits the head's probabilities are, found by comparing the values."""
    import numpy as np
    from scipy import special

    logits = np.random.default_rng(0).normal(size=(64, labels)).astype(np.float32) * 4
    functions: dict[Activation, NDArray[Any]] = {
        "sigmoid": special.expit(logits),
        "softmax": special.softmax(logits, axis=1),
        "identity": logits,
    }
    answered = head.probabilities(logits)
    # a head of one label is a sigmoid and not a softmax: its probability depends on the logit
    for activation, values in functions.items():
        if answered.shape == values.shape and np.allclose(answered, values, atol=1e-6):
            return activation
    found = (
        f"'{clean(name)}': its head '{head.kind}' answers with no sigmoid, softmax or plain number"
    )
    raise EmomtlError(Problem(PLACE, found, "name other tasks with --task"))


def _thresholds(
    trained: TrainedRun, tasks: Mapping[str, BoundTask], tuned: bool
) -> dict[str, tuple[float, ...]]:
    """The thresholds of the tasks that answer by them."""
    asked = {name: bound for name, bound in tasks.items() if bound.head.by_thresholds}
    if not tuned:
        fixed = {}
        for name, bound in asked.items():
            threshold = float(getattr(bound.head, "threshold", 0.5))
            fixed[name] = (threshold,) * len(bound.outputs)
        return fixed
    tunings = trained.tunings(list(asked)) if asked else {}
    missing = [name for name in asked if name not in tunings]
    if missing:
        run, step = clean(str(trained.run.folder), 300), trained.checkpoint.step
        found = f"{', '.join(missing)}: the run has no tuned thresholds for this checkpoint"
        remedy = (
            f"`emomtl eval {run} --split validation --checkpoint {step}` tunes them; or"
            " --thresholds fixed"
        )
        raise EmomtlError(Problem("--thresholds", found, remedy))
    return {name: tunings[name].thresholds[WRITTEN["tuned"]].values for name in asked}


def _plain_encoder(trained: TrainedRun) -> nn.Module:
    """The encoder without what changes added: that is merged into its weights, or refused."""
    from transformers import AutoModel

    from emomtl.model.encoder import rebuild_encoder

    plan = trained.plan
    learned: nn.Module = trained.model.encoder
    if not plan.changes:
        return learned
    size = trained.checkpoint.size("model")
    encoder = rebuild_encoder(plan.encoder, trained.run.kept_encoder(), size)
    # A change may wrap a layer, which renames its tensors; they stay the same objects.
    tensors_by_name = encoder.module.state_dict(keep_vars=True)
    changed = encoder.changed(plan.changes, tuple(plan.tasks), plan.manifest.seed)
    changed.module.load_state_dict(learned.state_dict())
    assert changed.changes is not None
    added = {
        number
        for name, number in changed.changes.added.items()
        if name in changed.module.state_dict()
    }
    for number in sorted(added, reverse=True):
        if not plan.changes[number].merge(changed.module):
            name = plan.manifest.encoder.changes[number].use
            found = f"what the change '{name}' added cannot be merged into the encoder's weights"
            raise EmomtlError(Problem(PLACE, found, "train without this change"))
    remaining = {id(tensor) for tensor in changed.module.state_dict(keep_vars=True).values()}
    kept = {
        name: tensor.detach() for name, tensor in tensors_by_name.items() if id(tensor) in remaining
    }
    config: Any = changed.module.config
    pooler = (
        {"add_pooling_layer": plan.encoder.pooling == "pooler"}
        if hasattr(encoder.module, "pooler")
        else {}
    )
    plain: nn.Module = AutoModel.from_config(config, **pooler).eval()
    plain.load_state_dict(kept)
    return plain
