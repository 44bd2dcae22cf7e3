"""`masked-tokens`: masked language modelling, as a head and as a task on another task's texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le, Lt

from emomtl import (
    BaseRate,
    DerivedTask,
    EmomtlError,
    Example,
    Head,
    Task,
    TokenHead,
    Vocabulary,
    hookimpl,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from emomtl import Taxonomy

MISSING = -100
"""The target of a token that was not chosen."""

OUTPUTS = ("negative_log_likelihood", "chosen_tokens", "right_tokens")
"""What the module gives for a text: the sum over its chosen tokens, their number, and how many of
them are predicted rightly."""

LAYER_NORM = "cls.predictions.transform.LayerNorm"
"""BERT's layer norm before its output layer. Its oldest files call the two parameters `gamma` and
`beta`."""


@dataclass(frozen=True)
class MaskedTokens(TokenHead):
    """Predicts the tokens that were hidden; the loss is their mean negative log-likelihood.

    Devlin et al. (2019), arXiv:1810.04805, section 3.1, task 1. Each token is chosen with
    probability `share`. Of the chosen ones the part `mask` becomes the mask token, the part
    `random` any token of the vocabulary, and the others stay. Only chosen tokens have a loss, and
    special tokens are never chosen. Masks are drawn anew at every step (dynamic masking; Liu et
    al., 2019, arXiv:1907.11692). The head is BERT's: a dense layer, GELU, layer norm, and the
    encoder's word embedding as the output layer (tied), with a bias of its own; logits are computed
    at the chosen tokens only. It starts from the encoder's own head where its file has one, as
    those of BERT and RoBERTa do; beside a sentence encoder it starts from random values.

    Departures: Devlin et al. choose a fixed number of tokens of a text, at least one, and mask once
    for all epochs. Here each token is chosen independently, so a short text may have none. The
    next-sentence objective is left out, as Liu et al. recommend.
    """

    share: Annotated[float, Gt(0), Lt(1)] = 0.15
    mask: Annotated[float, Ge(0), Le(1)] = 0.8
    random: Annotated[float, Ge(0), Le(1)] = 0.1
    lr: Annotated[float, Gt(0)] | None = None
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    kind: ClassVar[str] = "masked-tokens"
    main_metric: ClassVar[str] = "masked_nll"
    errors: ClassVar[tuple[str, ...]] = ("masked_nll", "perplexity")
    headline: ClassVar[tuple[str, ...]] = ("masked_nll", "perplexity", "top1_accuracy")
    pretrained: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "dense.weight": ("cls.predictions.transform.dense.weight", "lm_head.dense.weight"),
        "dense.bias": ("cls.predictions.transform.dense.bias", "lm_head.dense.bias"),
        "norm.weight": (f"{LAYER_NORM}.weight", f"{LAYER_NORM}.gamma", "lm_head.layer_norm.weight"),
        "norm.bias": (f"{LAYER_NORM}.bias", f"{LAYER_NORM}.beta", "lm_head.layer_norm.bias"),
        "bias": ("cls.predictions.bias", "lm_head.bias"),
    }

    def __post_init__(self) -> None:
        if self.mask + self.random > 1:
            raise ValueError(f"mask = {self.mask} and random = {self.random} sum to more than 1")

    def outputs(self, taxonomy: Taxonomy | None) -> tuple[str, ...]:
        return OUTPUTS

    def check_vocabulary(self, vocabulary: Vocabulary) -> None:
        if vocabulary.mask is None and self.mask > 0:
            remedy = (
                "take an encoder that was trained with one (BERT, RoBERTa, MiniLM), "
                "or mask = 0.0 with random = 1.0"
            )
            raise EmomtlError("the encoder's tokenizer has no mask token", remedy=remedy)

    def prepare(
        self,
        inputs: Mapping[str, NDArray[np.int64]],
        vocabulary: Vocabulary,
        draw: np.random.Generator,
    ) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
        import numpy as np

        ids = inputs["input_ids"]
        is_word = (inputs["attention_mask"] == 1) & ~np.isin(ids, list(vocabulary.special))
        chosen = is_word & (draw.random(ids.shape) < self.share)
        lot = draw.random(ids.shape)
        random_ids = draw.integers(vocabulary.size, size=ids.shape)
        masked = chosen & (lot < self.mask)
        replaced = chosen & (lot >= self.mask) & (lot < self.mask + self.random)
        changed = np.where(masked, vocabulary.mask or 0, ids)
        changed = np.where(replaced, random_ids, changed)
        return {**inputs, "input_ids": changed}, np.where(chosen, ids, MISSING)

    def build_on_tokens(self, width: int, vocabulary: Vocabulary) -> nn.Module:
        return _module(width, vocabulary, self.dropout)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        sums = logits.sum(dim=0)  # in the order of OUTPUTS
        return sums[0] / sums[1].clamp(min=1)

    def base_rate(self, targets: NDArray[Any]) -> BaseRate | None:
        """The entropy of the words' frequencies q, the best answer that ignores the context."""
        import numpy as np

        counts = np.unique(targets, return_counts=True)[1].astype(np.float64)
        q = counts / max(1.0, counts.sum())
        return BaseRate(float(-(q * np.log(q)).sum()))  # -sum_w q_w ln q_w

    def metrics(
        self, targets: NDArray[Any], probabilities: NDArray[Any]
    ) -> dict[str, float | None]:
        total, number, right = (float(value) for value in probabilities.sum(axis=0))
        if not number:
            return {"masked_nll": None, "perplexity": None, "top1_accuracy": None}
        mean = total / number
        perplexity = math.exp(mean) if mean < 700 else None  # exp overflows a float beyond 709
        return {"masked_nll": mean, "perplexity": perplexity, "top1_accuracy": right / number}


def _module(width: int, vocabulary: Vocabulary, dropout: float) -> nn.Module:
    """The transform and the bias; the output layer is the encoder's own word embedding."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Transform(nn.Module):
        """States (B, T, W), targets (B, T), word embedding (rows, width) -> `OUTPUTS` (B, 3)."""

        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout(dropout)
            self.dense = nn.Linear(width, vocabulary.width)
            self.norm = nn.LayerNorm(vocabulary.width, eps=1e-12)
            self.bias = nn.Parameter(torch.zeros(vocabulary.rows))
            nn.init.normal_(self.dense.weight, std=0.02)
            nn.init.zeros_(self.dense.bias)

        def forward(self, states: Tensor, targets: Tensor, words: Tensor) -> Tensor:
            chosen = targets != MISSING
            hidden = self.norm(functional.gelu(self.dense(self.dropout(states[chosen]))))
            logits = functional.linear(hidden, words, self.bias).float()
            losses = functional.cross_entropy(logits, targets[chosen], reduction="none")
            right = (logits.argmax(dim=1) == targets[chosen]).float()
            zeros = torch.zeros(targets.shape, device=targets.device)
            sum_of_losses = zeros.masked_scatter(chosen, losses).sum(dim=1)
            number_right = zeros.masked_scatter(chosen, right).sum(dim=1)
            return torch.stack([sum_of_losses, chosen.sum(dim=1).float(), number_right], dim=1)

    return Transform()


@dataclass(frozen=True)
class MaskedTokensTask(DerivedTask):
    """Masked language modelling on another task's texts, pairs included; no labels are needed.

    `of` names the task. With `only`, it reads the rows that have this label and no others:
    `only = "true"` keeps the pairs that belong together. How much is hidden is an option of the
    head.
    """

    name: ClassVar[str] = "masked-tokens"
    of: str
    only: str | None = None

    def derive(self, base: Task) -> Task:
        if self.only is not None and base.taxonomy is not None:
            base.taxonomy.index(self.only)

        def read(row: Mapping[str, Any]) -> list[Example]:
            examples = [example for example in base.examples(row) if _has(example, self.only)]
            # The label 1 marks the example as read; the targets are made of its tokens.
            return [Example(example.text, 1.0, example.pair) for example in examples]

        return Task(
            self.name,
            base.sources,
            read,
            head=MaskedTokens(),
            split=base.split,
            sensitive=base.sensitive,
            special_tokens=base.special_tokens,
            card=f"Masked language modelling on the texts of {base.name}.\n\n{base.card}",
        )


def _has(example: Example, label: str | None) -> bool:
    """Whether an example has this label: as its only one, among several, or with a share >= 0.5."""
    labels = example.label
    if label is None or labels == label:
        return True
    if isinstance(labels, Mapping):
        return (labels.get(label) or 0.0) >= 0.5
    return isinstance(labels, Sequence) and not isinstance(labels, str) and label in labels


@hookimpl
def emomtl_heads() -> dict[str, type[Head]]:
    return {MaskedTokens.kind: MaskedTokens}


@hookimpl
def emomtl_tasks() -> list[type[DerivedTask]]:
    return [MaskedTokensTask]
