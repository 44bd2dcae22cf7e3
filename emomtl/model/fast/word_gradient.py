"""The gradient of a word embedding, kept from step to step.

A step reads few words, and only their rows are filled and cleared. torch would make a dense
gradient of all words at every step, mostly zeros, whose memory is given back and requested again.
The values are the same, and so is the update: AdamW still moves every row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WordGradient:
    """A gradient (V, W) in memory of its own, which the embedding's hooks clear before a step.

    The gradients of micro-batches are added in place. Where the weights are read in another way
    too, it is cleared as a whole. torch.autograd.grad gives a sparse tensor instead.
    """

    def __init__(self, words: nn.Embedding) -> None:
        self.weight = words.weight
        self.values: Tensor | None = None
        self.rows: list[Tensor] = []
        self.dense = False
        words.sparse = True
        words.register_forward_pre_hook(self._before_lookup)

    def _before_lookup(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Give the weight this gradient, where a step has none yet, and note the words read."""
        if not (torch.is_grad_enabled() and self.weight.requires_grad):
            return
        if self.values is None:
            self.values = torch.zeros_like(self.weight)
            # torch does not type it
            self.weight.register_hook(self._arrived)  # type: ignore[no-untyped-call]
        if self.weight.grad is None:
            self._clear(self.values)
            self.weight.grad = self.values
        if self.weight.grad is self.values:
            self.rows.append(args[0].detach().reshape(-1))

    def _arrived(self, gradient: Tensor) -> None:
        self.dense |= not gradient.is_sparse

    def _clear(self, values: Tensor) -> None:
        """Set the rows that the step before filled to zero."""
        if self.dense:
            values.zero_()
        else:
            for rows in self.rows:
                values.index_fill_(0, rows, 0.0)
        self.rows.clear()
        self.dense = False


def keep_gradient(encoder: nn.Module) -> WordGradient | None:
    """Keep the gradient of a word embedding; None where it is not torch's own, or is sparse."""
    # nn.Module has no such method, transformers' encoders do
    words = encoder.get_input_embeddings()  # type: ignore[operator]
    if type(words) is not nn.Embedding or words.sparse or words.max_norm is not None:
        return None
    return WordGradient(words)
