"""Adam for a small vector that a weighting keeps in buffers, apart from the model's optimiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""The constants of Kingma & Ba (2015), algorithm 1, which are torch's defaults."""


def add_vector(state: nn.Module, name: str, start: Tensor) -> None:
    """Register the buffer `name` (T,) in `state`, with Adam's two moments and its step count."""
    import torch

    state.register_buffer(name, start.clone())
    state.register_buffer(f"{name}_mean", torch.zeros_like(start))
    state.register_buffer(f"{name}_square", torch.zeros_like(start))
    # float64, since 1 - 0.999^n loses digits in float32
    state.register_buffer(f"{name}_steps", torch.zeros((), dtype=torch.float64))


def adam_step(
    state: nn.Module, name: str, gradient: Tensor, lr: float, weight_decay: float = 0.0
) -> None:
    """Take one step of Adam (Kingma & Ba, 2015; arXiv:1412.6980) with an L2 penalty.

    A gradient that is not finite changes nothing. Nothing here synchronises the device with the
    host, which is why the update is masked and not skipped.
    """
    import torch

    value, mean, square, steps = (
        state.get_buffer(f"{name}{suffix}") for suffix in ("", "_mean", "_square", "_steps")
    )
    # Algorithm 1, with theta = value, g = slope, m = mean, v = square, t = step.
    slope = gradient + weight_decay * value
    step = steps + 1
    new_mean = torch.lerp(mean, slope, 1 - BETA_1)
    new_square = torch.lerp(square, slope * slope, 1 - BETA_2)
    denominator = (new_square / (1 - BETA_2**step)).sqrt() + EPSILON
    new_value = value - lr * (new_mean / (1 - BETA_1**step)) / denominator
    finite = torch.isfinite(gradient).all()
    updates = ((value, new_value), (mean, new_mean), (square, new_square), (steps, step))
    for old, new in updates:
        old.copy_(torch.where(finite, new, old))
