"""The network: one encoder, a pooled vector per text, one head per task (hard sharing, unless the manifest changes it)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
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
    """`pooled` turns token ids (B, T) into vectors (B, W) by task; `logits` turns those into a task's logits (B, L).

    `ties` says with whose head a task answers that has none of its own; such a head is in the model, and in a checkpoint, once.
    `objectives` holds what extra losses learn, by name; nothing but training reads it. `first_token` is set where training
    computes the last layer for that token alone.
    """

    def __init__(
        self,
        encoder: nn.Module,
        pooling: str,
        heads: Mapping[str, nn.Module],
        ties: Mapping[str, str] | None = None,
        changes: AppliedChanges | None = None,
        objectives: Mapping[str, nn.Module] | None = None,
        layers: LastLayers = LAST,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.layers = layers
        self.heads = modules_by_name(heads)
        self.ties = dict(ties or {})
        self.changes = changes or AppliedChanges.of(encoder, (), (*heads, *self.ties), 0)
        self.objectives = modules_by_name(objectives or {})
        self.vocabulary: Vocabulary | None = None
        self.first_token: FirstToken | None = None

    def pooled(self, inputs: Mapping[str, Tensor], rows: Mapping[str, int], output: Any = None) -> dict[str, Tensor]:
        """The vectors of the first n texts for each task, (n, W); `rows` gives n by task.

        The texts are encoded once for all tasks (or were: `output` is what the encoder gave); where a change of the encoder
        depends on the task, once for each.
        """
        if not self.changes.per_task:
            every = self.encode(inputs, output=output)
            return {task: every[:n] for task, n in rows.items()}
        return {task: self.encode({name: tensor[:n] for name, tensor in inputs.items()}, task) for task, n in rows.items()}

    def encode(self, inputs: Mapping[str, Tensor], task: str | None = None, output: Any = None) -> Tensor:
        """Pooled vectors (B, W): the first token's, the mean or maximum over real tokens, or the pooler's.

        `task` is needed where a change of the encoder depends on it, and makes no difference elsewhere. `output` is what the
        encoder gave, where it was asked already.
        """
        if output is None:
            with self.changes.switch.using(task):
                output = self.encoder(**inputs, **self.layers.asked)
        if self.pooling == "pooler":
            return output.pooler_output  # type: ignore[no-any-return]
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
        return self.heads[self.ties.get(task, task)](pooled)  # type: ignore[no-any-return]

    def token_outputs(self, task: str, inputs: Mapping[str, Tensor], targets: Tensor, output: Any = None) -> Tensor:
        """What a head that reads token states gives for inputs and targets (B, T) that it prepared: (B, L)."""
        if output is None:
            with self.changes.switch.using(task):
                output = self.encoder(**inputs)
        states = output.last_hidden_state
        words = self.encoder.get_input_embeddings().weight  # type: ignore[operator, union-attr]
        return self.heads[task](states, targets, words)  # type: ignore[no-any-return]


def beside(pooled: Tensor, features: NDArray[np.float32] | None) -> Tensor:
    """What heads read: pooled vectors (n, W), and after them the features of the first n texts where the run has any."""
    if features is None:
        return pooled
    return torch.cat([pooled, torch.from_numpy(features[: len(pooled)]).to(pooled.device, pooled.dtype)], dim=1)


def parameter_groups(
    model: MultiTaskModel,
    state: nn.Module,
    lr: float,
    head_lrs: Mapping[str, float],
    weighting_lr: float,
    decay: float,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Groups for AdamW: each with its peak rate, and no decay on biases, norms and a weighting's own parameters.

    The group of a weighting's parameters is marked `constant`: it has no warm-up and no decay of its rate, and
    its gradients are no part of the norm that is clipped.

    `head_lrs` are the rates of heads by task, and of objectives by name. `layer_decay` lowers the rates of the encoder's
    layers, see `layer_factors`.
    """
    factors = layer_factors(model.encoder, layer_decay)
    groups: dict[tuple[float, float, bool], dict[str, Any]] = {}

    def add(name: str, parameter: nn.Parameter, rate: float, weight_decay: float, constant: bool = False) -> None:
        empty: dict[str, Any] = {"params": [], "names": [], "peak": rate, "lr": rate, "weight_decay": weight_decay}
        empty["constant"] = constant
        group = groups.setdefault((rate, weight_decay, constant), empty)
        group["params"].append(parameter)
        group["names"].append(name)

    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            own = name.startswith(("heads.", "objectives."))
            rate = head_lrs[name.split(".")[1]] if own else lr * factors.get(parameter, 1.0)
            add(name, parameter, rate, decay if parameter.ndim > 1 else 0.0)
    for name, parameter in state.named_parameters():
        add(f"weighting.{name}", parameter, weighting_lr, 0.0, constant=True)
    return list(groups.values())


def shared_parameters(model: MultiTaskModel) -> SharedParameters:
    """The encoder's trainable parameters that all tasks share, and which of them are the last layer's.

    Those which belong to one task alone are no part of them. Of the layers the last one with something to train counts; where
    an encoder lists none, every parameter does.
    """
    named = model.encoder.named_parameters()
    shared = [parameter for name, parameter in named if parameter.requires_grad and name not in model.changes.own]
    ours = {id(parameter) for parameter in shared}
    with suppress(EmomtlError):
        for layer in reversed(encoder_layers(model.encoder)):
            if last := [parameter for parameter in layer.parameters() if id(parameter) in ours]:
                return SharedParameters(shared, last)
    return SharedParameters(shared)


def count_parameters(model: MultiTaskModel) -> dict[str, Any]:
    """Parameters: `total`, `trainable`, `shared` (of the encoder), and by task (`tasks`) those of its own with its head.

    `total` is `shared` plus those of all tasks. A head that several tasks answer with counts for the one whose it is. What is
    frozen now and opened later by a schedule counts as trainable only where it is open: count before the first step.
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
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {"total": shared + sum(tasks.values()), "trainable": trainable, "shared": shared, "tasks": tasks}
