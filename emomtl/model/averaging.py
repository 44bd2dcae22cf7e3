"""The exponential moving average of a model's weights, scored and saved beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

UPDATES = "updates"
"""The name of the number of updates among averaged tensors; a parameter's name has a dot."""


class Average:
    """The moving average of a model's trainable parameters.

    After each update, a <- d_t a + (1 - d_t) w with d_t = min(decay, (1 + t) / (10 + t)), where a
    is the average, w are the weights and t counts the updates before this one, from 0. At first
    a = w. This warm-up of the decay is that of TensorFlow's `ExponentialMovingAverage` with
    `num_updates`: without it the first weights would stay in the average for some 1 / (1 - decay)
    updates.

    Frozen parameters and buffers have no average: those are the model's own. A parameter that two
    parts of the model share is averaged once.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        trainable = {id(p): p for p in model.parameters() if p.requires_grad}
        self.decay = decay
        self._parameters = list(trainable.values())
        self._names: dict[str, int] = {}
        for name, tensor in model.state_dict(keep_vars=True).items():
            if id(tensor) in trainable:
                self._names[name] = id(tensor)
        self.begin()

    def begin(self) -> None:
        """Begin anew with the weights as they are."""
        self._averages = {id(p): p.detach().clone() for p in self._parameters}
        device = self._parameters[0].device if self._parameters else torch.device("cpu")
        self._updates = torch.zeros((), dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(self, finite: Tensor) -> None:
        """Move the average after an update; nothing moves where `finite` is False.

        Then the optimiser was masked, too. The flag stays on the device: the host does not wait.
        """
        decay = torch.clamp((1 + self._updates) / (10 + self._updates), max=self.decay)
        share = torch.where(finite, 1 - decay, torch.zeros_like(decay))
        self._updates += finite
        for parameter in self._parameters:
            average = self._averages[id(parameter)]
            average.lerp_(parameter.detach(), share.to(average.dtype))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; afterwards its own, bit for bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter in self._parameters:
            average = self._averages[id(parameter)]
            weights = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(weights)

    def tensors(self) -> dict[str, Tensor]:
        """The averages by name, and how many updates they have seen."""
        averages = {name: self._averages[key] for name, key in self._names.items()}
        return {**averages, UPDATES: self._updates}

    @torch.no_grad()
    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Go on with averages that were saved; ValueError where they are of other weights."""
        shapes = {name: tuple(tensor.shape) for name, tensor in self.tensors().items()}
        if shapes != {name: tuple(tensor.shape) for name, tensor in saved.items()}:
            raise ValueError("the averaged weights are those of another model")
        for name, tensor in self.tensors().items():
            tensor.copy_(saved[name])

    def size(self) -> int:
        """Bytes of the averages."""
        return sum(average.numel() * average.element_size() for average in self._averages.values())
