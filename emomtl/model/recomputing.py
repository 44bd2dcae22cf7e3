"""Gradient checkpointing: layers are computed again in the backward pass, and not kept until it.

Chen et al. (2016, arXiv:1604.06174). It saves memory, and costs a second forward pass of those
layers. Updates are the same, as dropout draws the same numbers again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from emomtl.contracts.encoder import encoder_layers
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.contracts.encoder_change import TaskSwitch

PLACE = "encoder.checkpoint_layers"


def recompute_layers(encoder: nn.Module, wanted: bool | int, switch: TaskSwitch) -> None:
    """Let the first `wanted` layers of an encoder, or all with True, be recomputed in training.

    The first, because the backward pass reaches them last: what the layers above them kept is free
    by then. EmomtlError where the encoder has fewer, or lists none.
    """
    if not wanted:
        return
    try:
        layers = encoder_layers(encoder)
    except EmomtlError as error:
        problem = Problem(PLACE, error.problems[0].found, "checkpoint_layers = false")
        raise EmomtlError(problem) from error
    number = len(layers) if wanted is True else wanted
    if number > len(layers):
        finding = f"{number} layers, and the encoder has {len(layers)}"
        raise EmomtlError(Problem(PLACE, finding, f"true for all, or a number up to {len(layers)}"))
    classes: dict[type[nn.Module], type[nn.Module]] = {}
    for layer in layers[:number]:
        kind = type(layer)
        layer.__class__ = classes.setdefault(kind, _recomputed(kind, switch))


def _recomputed(kind: Any, switch: TaskSwitch) -> type[nn.Module]:
    """The same class of layer, recomputed in the backward pass.

    The call is repeated, and not `forward` alone, so that hooks of the layer run again with it.
    """

    class Recomputed(kind):  # type: ignore[misc]  # the class is the encoder's own
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            call = super().__call__
            if not (self.training and torch.is_grad_enabled()):
                return call(*args, **kwargs)
            # without use_reentrant=False parameters get no gradient where no input has one (a
            # frozen embedding), and torch.autograd.grad, which gradient weightings call, fails
            return checkpoint(call, *args, use_reentrant=False, context_fn=contexts, **kwargs)

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        """The contexts of the first computation and of each that follows."""
        return nullcontext(), _ForTask(switch)

    Recomputed.__name__, Recomputed.__qualname__ = kind.__name__, kind.__qualname__
    return Recomputed


class _ForTask:
    """Inside, the encoder answers for the task that was active when this was made.

    It is entered several times where several backward passes recompute a layer.
    """

    def __init__(self, switch: TaskSwitch) -> None:
        self.switch, self.task = switch, switch.current
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        self._entered.append(self.switch.using(self.task))
        self._entered[-1].__enter__()

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().__exit__(*error)
