"""The gradient of a word embedding is kept from step to step: a step reads few words, and only their rows are filled and cleared.

torch makes a dense gradient of all words anew at every step, mostly zeros, whose memory is given back and asked for again.
The values are the same, and so is the update: AdamW still moves every row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WordGradient:
    """A gradient (V, W) in memory of its own, which a step's first pass finds with zeros in it, through hooks of the embedding.

    Sums of micro-batches go into it in place. Where the weights are read in another way too, it is cleared whole. Whoever asks
    torch.autograd for the gradient itself gets a sparse tensor.
    """

    def __init__(self, words: nn.Embedding) -> None:
        self.weight = words.weight
        self.values: Tensor | None = None
        self.rows: list[Tensor] = []
        self.dense = False
        words.sparse = True
        words.register_forward_pre_hook(self._read)

    def _read(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Before words are looked up: a step that has no gradient yet gets this one, the rows of the step before cleared."""
        if not (torch.is_grad_enabled() and self.weight.requires_grad):
            return
        if self.values is None:
            self.values = torch.zeros_like(self.weight)
            self.weight.register_hook(self._arrives)  # type: ignore[no-untyped-call]  # torch does not type it
        if self.weight.grad is None:
            self._clear(self.values)
            self.weight.grad = self.values
        if self.weight.grad is self.values:
            self.rows.append(args[0].detach().reshape(-1))

    def _arrives(self, gradient: Tensor) -> None:
        self.dense |= not gradient.is_sparse

    def _clear(self, values: Tensor) -> None:
        if self.dense:
            values.zero_()
        for rows in self.rows if not self.dense else ():
            values.index_fill_(0, rows, 0.0)
        self.rows.clear()
        self.dense = False


def keep_gradient(encoder: nn.Module) -> WordGradient | None:
    """Keep the gradient of an encoder's word embedding; None where that is not torch's own, or sparse already."""
    words = encoder.get_input_embeddings()  # type: ignore[operator]  # nn.Module knows none, transformers' encoders do
    if type(words) is not nn.Embedding or words.sparse or words.max_norm is not None:
        return None
    return WordGradient(words)
