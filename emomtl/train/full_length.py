"""A trial on texts as long as `max_tokens`, by every path that the run would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emomtl.contracts.heads import TokenHead
from emomtl.data.tokens import Tokens
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.model.device import arithmetic, to_device
from emomtl.model.network import beside
from emomtl.model.probe import FAILURES
from emomtl.seeds import generator

if TYPE_CHECKING:
    from emomtl.data.corpus import TaskData
    from emomtl.train.losses import TaskLosses

LONGEST = 2048
"""Tokens of the longest text that is tried; a longer one would take minutes on a CPU."""


def try_full_length(
    losses: TaskLosses, data: TaskData, tokens: Mapping[tuple[str, str], Tokens], max_tokens: int
) -> None:
    """Score and train on two texts of each corpus, one of them of full length; updates nothing.

    EmomtlError where that fails.
    """
    model, device = losses.model, losses.device
    was_training = model.training
    try:
        for corpus in data.corpora:
            place, length = "encoder.max_tokens", min(max_tokens, LONGEST)
            if corpus.max_tokens is not None:
                place = f"tasks.{corpus.name}.max_tokens"
                length = min(corpus.max_tokens, LONGEST)
            trial = _Trial(losses, corpus.tasks, tokens[corpus.name, "train"], length)
            model.eval()
            with torch.inference_mode():
                trial.outputs(train=False)
            model.train()
            with torch.random.fork_rng(devices=[device] if device == "cuda" else []):
                total = trial.outputs(train=True)
                if total.requires_grad:
                    total.backward()  # type: ignore[no-untyped-call]  # torch does not type it
    except EmomtlError:
        raise
    except FAILURES as error:
        reason = clean((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        finding = f"a text of {length} tokens cannot be trained on: {reason}"
        raise EmomtlError(
            Problem(place, finding, "fewer max_tokens, or another encoder")
        ) from error
    finally:
        model.zero_grad(set_to_none=True)
        model.train(was_training)


class _Trial:
    """A text of full length and one of two tokens, made of a corpus's own tokens."""

    def __init__(
        self, losses: TaskLosses, tasks: Sequence[str], tokens: Tokens, length: int
    ) -> None:
        self.losses, self.tokens = losses, tokens
        self.heads = {task: losses.tasks[task].head for task in tasks}
        ids = np.stack([np.resize(tokens.ids, length)] * 2).astype(np.int64)  # (2, length)
        mask = np.ones_like(ids)
        ids[1, 2:], mask[1, 2:] = tokens.pad, 0
        self.inputs = {"input_ids": ids, "attention_mask": mask}

    def outputs(self, train: bool) -> torch.Tensor:
        """The sum of all that the heads give, as one number to take gradients of."""
        losses, model = self.losses, self.losses.model
        pooled_tasks = [t for t, head in self.heads.items() if not isinstance(head, TokenHead)]
        features = self.tokens.beside(np.zeros(2, np.int64))
        sums = []
        with arithmetic(losses.device, losses.precision):
            if pooled_tasks:
                encoded = self._encoded(self.inputs, train)
                inputs = to_device(self.inputs, losses.device)
                pooled = model.pooled(inputs, dict.fromkeys(pooled_tasks, 2), encoded)
                for task, vectors in pooled.items():
                    sums.append(model.logits(task, beside(vectors, features)).float().sum())
            for task, head in self.heads.items():
                if isinstance(head, TokenHead):
                    assert model.vocabulary is not None
                    arrays, targets = head.prepare(self.inputs, model.vocabulary, generator(0))
                    encoded = self._encoded(arrays, train)
                    inputs = to_device(arrays, losses.device)
                    wanted = torch.from_numpy(targets).to(losses.device)
                    outputs = model.token_outputs(task, inputs, wanted, encoded)
                    sums.append(outputs.float().sum())
        return torch.stack(sums).sum()

    def _encoded(self, inputs: dict[str, Any], train: bool) -> Any:
        """The encoder's output without padding, on which only training computes; else None."""
        return self.losses.encoder_outputs([inputs])[0] if train else None
