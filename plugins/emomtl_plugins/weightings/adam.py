"""Adam for a small vector that a weighting keeps in buffers, apart from the model's optimiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

MEAN, SQUARE, EPS = 0.9, 0.999, 1e-8


def add_vector(state: nn.Module, name: str, start: Tensor) -> None:
    """Give `state` the buffer `name`, (T,), with Adam's two means and its count of steps beside it."""
    import torch

    state.register_buffer(name, start.clone())
    state.register_buffer(f"{name}_mean", torch.zeros_like(start))
    state.register_buffer(f"{name}_square", torch.zeros_like(start))
    state.register_buffer(f"{name}_steps", torch.zeros((), dtype=torch.float64))  # 1 - 0.999^n is rough in float32


def adam_step(state: nn.Module, name: str, gradient: Tensor, lr: float, decay: float = 0.0) -> None:
    """One step of torch's Adam (Kingma & Ba, 2015; arXiv:1412.6980) with the L2 penalty `decay`.

    A gradient that is not finite changes nothing. Nothing here waits for the device.
    """
    import torch

    value, mean, square, steps = (state.get_buffer(f"{name}{part}") for part in ("", "_mean", "_square", "_steps"))
    slope = gradient + decay * value
    count = steps + 1
    new_mean, new_square = torch.lerp(mean, slope, 1 - MEAN), torch.lerp(square, slope * slope, 1 - SQUARE)
    size = (new_square / (1 - SQUARE**count)).sqrt() + EPS
    new_value = value - lr * (new_mean / (1 - MEAN**count)) / size
    finite = torch.isfinite(gradient).all()
    for old, new in ((value, new_value), (mean, new_mean), (square, new_square), (steps, count)):
        old.copy_(torch.where(finite, new, old))
