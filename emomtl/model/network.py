"""The model: one encoder, a pooled vector per text, one head per task."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emomtl.contracts.encoder import encoder_layers
from emomtl.contracts.encoder_change import modules_by_name
from emomtl.contracts.heads import Vocabulary
from emomtl.contracts.weighting import SharedParameters
from emomtl.errors import EmomtlError
from emomtl.model.encoder_changes import AppliedChanges
from emomtl.model.fast.first_token import FirstToken
from emomtl.model.layers import LAST, LastLayers, layer_factors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MultiTaskModel(nn.Module):
    """Token ids (B, T) -> pooled vectors (B, W) by task (`pooled`) -> logits (B, L) (`logits`).

    A task in `ties` answers with another task's head, which is in the model once. `objectives` are
    modules of extra losses, which only training reads. `vocabulary` is set where a head reads
    tokens, `first_token` where training computes the last layer for that token alone.
    """

    encoder: Any
    """A transformers model, which is untyped."""

    def __init__(
        self,
        encoder: nn.Module,
        pooling: str,
        heads: Mapping[str, nn.Module],
        ties: Mapping[str, str] | None = None,
        changes: AppliedChanges | None = None,
        layers: LastLayers = LAST,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.layers = layers
        self.heads = modules_by_name(heads)
        self.ties = dict(ties or {})
        self.changes = changes or AppliedChanges.of(encoder, (), (*heads, *self.ties), 0)
        self.objectives = modules_by_name({})
        self.vocabulary: Vocabulary | None = None
        self.first_token: FirstToken | None = None

    def pooled(
        self, inputs: Mapping[str, Tensor], rows: Mapping[str, int], output: Any = None
    ) -> dict[str, Tensor]:
        """The vectors (n, W) of the first n texts for each task; `rows` gives n by task.

        All tasks share one pass of the encoder (or its `output`, where it was computed); where a
        change of the encoder depends on the task, each has its own.
        """
        if not self.changes.per_task:
            vectors = self.encode(inputs, output=output)
            return {task: vectors[:n] for task, n in rows.items()}
        by_task: dict[str, Tensor] = {}
        for task, n in rows.items():
            own_inputs = {name: tensor[:n] for name, tensor in inputs.items()}
            by_task[task] = self.encode(own_inputs, task)
        return by_task

    def encode(
        self, inputs: Mapping[str, Tensor], task: str | None = None, output: Any = None
    ) -> Tensor:
        """Pooled vectors (B, W): the first token's, the mean or maximum of tokens, or the pooler's.

        `task` is needed where a change of the encoder depends on it, and has no effect elsewhere.
        `output` is what the encoder gave, where it was computed already.
        """
        if output is None:
            with self.changes.switch.using(task):
                output = self.encoder(**inputs, **self.layers.asked)
        if self.pooling == "pooler":
            pooled: Tensor = output.pooler_output
            return pooled
        states = self.layers.states(output)
        if self.pooling == "cls":
            return states[:, 0]
        mask = inputs["attention_mask"].unsqueeze(-1)
        if self.pooling == "max":
            return states.masked_fill(mask == 0, torch.finfo(states.dtype).min).amax(dim=1)
        mask = mask.to(states.dtype)
        return (states * mask).sum(dim=1) / mask.sum(dim=1)

    def logits(self, task: str, pooled: Tensor) -> Tensor:
        """The logits of a task's head, (B, W) -> (B, L)."""
        logits: Tensor = self.heads[self.ties.get(task, task)](pooled)
        return logits

    def token_outputs(
        self, task: str, inputs: Mapping[str, Tensor], targets: Tensor, output: Any = None
    ) -> Tensor:
        """What a head over tokens gives (B, L) for inputs and targets (B, T) that it prepared."""
        if output is None:
            with self.changes.switch.using(task):
                output = self.encoder(**inputs)
        words = self.encoder.get_input_embeddings().weight
        outputs: Tensor = self.heads[task](output.last_hidden_state, targets, words)
        return outputs


def beside(pooled: Tensor, features: NDArray[np.float32] | None) -> Tensor:
    """What heads read: pooled vectors (n, W), followed by the features of those texts, if any."""
    if features is None:
        return pooled
    of_texts = torch.from_numpy(features[: len(pooled)]).to(pooled.device, pooled.dtype)
    return torch.cat([pooled, of_texts], dim=1)


@dataclass(frozen=True)
class Rates:
    """Peak learning rates: of the encoder, by task or objective, and of a learned weighting.

    `layer_decay` lowers those of the encoder's layers, see `layer_factors`.
    """

    encoder: float
    heads: Mapping[str, float]
    weighting: float
    layer_decay: float = 1.0


def parameter_groups(
    model: MultiTaskModel, weighting: nn.Module, rates: Rates, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for AdamW: each has its peak rate; biases and norms have no weight decay.

    Nor have the parameters of a weighting, whose group is marked `constant`: its rate has no
    warm-up and no schedule, and its gradients are no part of the norm that is clipped.
    """
    factors = layer_factors(model.encoder, rates.layer_decay)
    groups: dict[tuple[float, float, bool], dict[str, Any]] = {}

    def add(name: str, parameter: nn.Parameter, rate: float, decay: float, constant: bool) -> None:
        key = (rate, decay, constant)
        if key not in groups:
            options = {"peak": rate, "lr": rate, "weight_decay": decay, "constant": constant}
            groups[key] = {"params": [], "names": [], **options}
        groups[key]["params"].append(parameter)
        groups[key]["names"].append(name)

    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            if name.startswith(("heads.", "objectives.")):
                rate = rates.heads[name.split(".")[1]]
            else:
                rate = rates.encoder * factors.get(parameter, 1.0)
            decay = weight_decay if parameter.ndim > 1 else 0.0
            add(name, parameter, rate, decay, constant=False)
    for name, parameter in weighting.named_parameters():
        add(f"weighting.{name}", parameter, rates.weighting, 0.0, constant=True)
    return list(groups.values())


def shared_parameters(model: MultiTaskModel) -> SharedParameters:
    """The encoder's trainable parameters that all tasks share, and those of the last layer.

    It is the last layer with such parameters; where an encoder lists no layers, all parameters.
    """
    shared: list[nn.Parameter] = []
    for name, parameter in model.encoder.named_parameters():
        if parameter.requires_grad and name not in model.changes.own:
            shared.append(parameter)
    shared_ids = set(map(id, shared))
    with suppress(EmomtlError):
        for layer in reversed(encoder_layers(model.encoder)):
            last = [parameter for parameter in layer.parameters() if id(parameter) in shared_ids]
            if last:
                return SharedParameters(shared, last)
    return SharedParameters(shared)


def count_parameters(model: MultiTaskModel) -> dict[str, Any]:
    """Parameters: `total`, `trainable`, `shared` (of the encoder), and each task's own (`tasks`).

    `total` is `shared` plus those of all tasks. A head that several tasks answer with counts for
    its owner. Call it before the first step: what a schedule opens later is not `trainable` yet.
    """
    tasks = dict.fromkeys(model.changes.switch.tasks, 0)
    for task, head in model.heads.items():
        tasks[task] += sum(parameter.numel() for parameter in head.parameters())
    shared = 0
    for name, parameter in model.encoder.named_parameters():
        if name in model.changes.own:
            tasks[model.changes.own[name]] += parameter.numel()
        else:
            shared += parameter.numel()
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = shared + sum(tasks.values())
    return {"total": total, "trainable": trainable, "shared": shared, "tasks": tasks}
