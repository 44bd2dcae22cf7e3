"""Gradient checkpointing: a layer's activations are computed again in the backward pass instead of
being kept.

Chen et al. (2016, arXiv:1604.06174). It spares memory, and costs a second forward pass of those
layers. Updates are the same, as dropout draws the same numbers again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
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
    """Let the first `wanted` layers of an encoder, or all with True, be recomputed while it trains;
    scoring is as it was.

    The first, because the backward pass reaches them last: what the layers above them kept is free
    by then. EmomtlError where the encoder has fewer, or lists none.
    """
    if not wanted:
        return
    try:
        layers = encoder_layers(encoder)
    except EmomtlError as error:
        raise EmomtlError(
            *(Problem(PLACE, one.found, "checkpoint_layers = false") for one in error.problems)
        ) from error
    number = len(layers) if wanted is True else wanted
    if number > len(layers):
        found = f"{number} layers, and the encoder has {len(layers)}"
        raise EmomtlError(Problem(PLACE, found, f"true for all, or a number up to {len(layers)}"))
    kinds: dict[type[nn.Module], type[nn.Module]] = {}
    for layer in layers[:number]:
        kind = type(layer)
        layer.__class__ = kinds.setdefault(kind, _recomputed(kind, switch))


def _recomputed(kind: Any, switch: TaskSwitch) -> type[nn.Module]:
    """The same kind of layer, recomputed in the backward pass.

    It is the call that is repeated, and not `forward` alone, so that hooks of the layer run again
    with it.
    """

    class Recomputed(kind):  # type: ignore[misc]  # the kind is the encoder's own
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            if not (self.training and torch.is_grad_enabled()):
                return super().__call__(*args, **kwargs)
            # without use_reentrant=False parameters get no gradient where no input has one (a
            # frozen embedding),
            # and torch.autograd.grad, which gradient weightings call, does not work
            return checkpoint(
                super().__call__, *args, use_reentrant=False, context_fn=contexts, **kwargs
            )

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _Answering(switch)

    Recomputed.__name__, Recomputed.__qualname__ = kind.__name__, kind.__qualname__
    return Recomputed


class _Answering:
    """In it the encoder answers for the task for which it answered when this was made; to be
    entered as often as needed.

    Several backward passes over one graph recompute a layer several times.
    """

    def __init__(self, switch: TaskSwitch) -> None:
        self.switch, self.task = switch, switch.current
        self._inside: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        self._inside.append(self.switch.using(self.task))
        self._inside[-1].__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside.pop().__exit__(kind, error, trace)
