"""The network: one encoder, a pooled vector per text, one head per task (hard parameter sharing)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emomtl.errors import EmomtlError, Problem
from emomtl.heads import Head
from emomtl.model.encoder import EncoderChoice, LoadedEncoder
from emomtl.seeds import torch_seed
from emomtl.taxonomy import Taxonomy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.run import Checkpoint


class MultiTaskModel(nn.Module):
    """`encode` turns token ids (B, T) into pooled vectors (B, W); `heads[task]` turns those into logits (B, L)."""

    def __init__(self, encoder: nn.Module, pooling: str, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.heads = nn.ModuleDict(heads)

    def encode(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Pooled vectors (B, W): the first token's, the mean or maximum over real tokens, or the pooler's."""
        output = self.encoder(**inputs)
        if self.pooling == "pooler":
            return output.pooler_output  # type: ignore[no-any-return]
        states: Tensor = output.last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        mask = inputs["attention_mask"].unsqueeze(-1)
        if self.pooling == "max":
            return states.masked_fill(mask == 0, torch.finfo(states.dtype).min).amax(dim=1)
        mask = mask.to(states.dtype)
        return (states * mask).sum(dim=1) / mask.sum(dim=1)

    def logits(self, task: str, pooled: Tensor) -> Tensor:
        """The logits of a task's head, (B, W) -> (B, L)."""
        return self.heads[task](pooled)  # type: ignore[no-any-return]


def build_model(
    encoder: LoadedEncoder, choice: EncoderChoice, heads: Mapping[str, tuple[Head, Taxonomy | None]], seed: int, features: int = 0
) -> MultiTaskModel:
    """The encoder with fresh heads; a head's start depends on the seed and its task's name, not on the other tasks.

    Heads read the encoder's W numbers and, with `features`, so many more.
    """
    modules: dict[str, nn.Module] = {}
    with torch.random.fork_rng(devices=[]):
        for task, (head, taxonomy) in heads.items():
            torch.manual_seed(torch_seed(seed, "head", task))
            modules[task] = head.build(encoder.width + features, taxonomy)
    return MultiTaskModel(encoder.module, choice.pooling, modules)


def beside(pooled: Tensor, features: NDArray[np.float32] | None) -> Tensor:
    """What heads read: pooled vectors (B, W), and after them the features (B, F) where the run has any."""
    if features is None:
        return pooled
    return torch.cat([pooled, torch.from_numpy(features).to(pooled.device, pooled.dtype)], dim=1)


def parameter_groups(
    model: MultiTaskModel, state: nn.Module, lr: float, head_lrs: Mapping[str, float], weighting_lr: float, decay: float
) -> list[dict[str, Any]]:
    """Groups for AdamW: each with its peak rate, and no decay on biases, norms and a weighting's own parameters."""
    groups: dict[tuple[float, float], dict[str, Any]] = {}

    def add(name: str, parameter: nn.Parameter, rate: float, weight_decay: float) -> None:
        empty: dict[str, Any] = {"params": [], "names": [], "peak": rate, "lr": rate, "weight_decay": weight_decay}
        group = groups.setdefault((rate, weight_decay), empty)
        group["params"].append(parameter)
        group["names"].append(name)

    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = head_lrs[name.split(".")[1]] if name.startswith("heads.") else lr
            add(name, parameter, rate, decay if parameter.ndim > 1 else 0.0)
    for name, parameter in state.named_parameters():
        add(f"weighting.{name}", parameter, weighting_lr, 0.0)
    return list(groups.values())


def shared_parameters(model: MultiTaskModel) -> Sequence[nn.Parameter]:
    """The encoder's trainable parameters, which all tasks share."""
    return [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]


def restore_model(model: MultiTaskModel, checkpoint: Checkpoint) -> None:
    """The weights of a checkpoint; one that belongs to another encoder or other labels is refused."""
    try:
        model.load_state_dict(checkpoint.tensors("model"))
    except RuntimeError as error:
        first = str(error).split("\n")[1].strip() if "\n" in str(error) else str(error)
        remedy = "the encoder, a task's labels or a plugin changed since the run was made"
        raise EmomtlError(Problem(str(checkpoint.path), f"does not fit this model: {first[:200]}", remedy)) from error
