"""One learned number for each task, kept as a parameter of a weighting's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def add_scalars(state: nn.Module, name: str, values: Mapping[str, float]) -> None:
    """Register the parameters `name.task_TASK` in `state`, each with the value of its task."""
    import torch
    from torch import nn

    scalars = {
        _key(task): nn.Parameter(torch.tensor(float(value))) for task, value in values.items()
    }
    state.add_module(name, nn.ParameterDict(scalars))


def scalar(state: nn.Module, name: str, task: str) -> nn.Parameter:
    """The parameter of a task."""
    return state.get_parameter(f"{name}.{_key(task)}")


def _key(task: str) -> str:
    # ParameterDict refuses keys that are names of its methods, and a task may be called `keys`.
    return f"task_{task}"
