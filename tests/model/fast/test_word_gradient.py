"""The kept gradient of the word embedding: the same updates as torch's own, whatever a step does
with it.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from emomtl.model.fast.word_gradient import WordGradient, keep_gradient


class Words(nn.Module):
    """An embedding with a padding row, and something on top of it."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 6, padding_idx=0)
        self.top = nn.Linear(6, 3)

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(self, ids: Tensor) -> Tensor:
        return self.top(self.words(ids).mean(dim=1)).square().sum()


def pair() -> tuple[tuple[Words, torch.optim.AdamW], tuple[Words, torch.optim.AdamW], WordGradient]:
    torch.manual_seed(3)
    theirs = Words().train()
    ours = copy.deepcopy(theirs)
    kept = keep_gradient(ours)
    assert kept is not None
    made = [
        (one, torch.optim.AdamW(one.parameters(), lr=0.1, weight_decay=0.01, fused=True))
        for one in (theirs, ours)
    ]
    return made[0], made[1], kept


def batch(seed: int) -> Tensor:
    return torch.randint(0, 50, (4, 5), generator=torch.Generator().manual_seed(seed))


def same(ours: Words, theirs: Words) -> None:
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=name)


def test_twenty_steps_are_those_of_a_dense_gradient():
    theirs, ours, kept = pair()
    for step in range(20):
        for model, _ in (theirs, ours):
            for micro in range(2):
                model(batch(2 * step + micro)).backward()
        torch.testing.assert_close(ours[0].words.weight.grad, theirs[0].words.weight.grad)
        assert ours[0].words.weight.grad is kept.values
        for _, optimizer in (theirs, ours):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    same(ours[0], theirs[0])


def test_a_step_clears_what_the_one_before_left():
    theirs, ours, _ = pair()
    # a step that is not finite, or did not fit: nothing is updated
    (ours[0](batch(1)) * float("nan")).backward()
    ours[1].zero_grad(set_to_none=True)
    for model, optimizer in (theirs, ours):
        model(batch(2)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    same(ours[0], theirs[0])


def test_weights_with_a_second_reader_are_cleared_whole():
    theirs, ours, kept = pair()
    for step in range(3):
        for model, _ in (theirs, ours):
            tied = (model.words.weight @ torch.ones(6)).square().sum() if step < 2 else 0.0
            (model(batch(step)) + tied).backward()
        torch.testing.assert_close(ours[0].words.weight.grad, theirs[0].words.weight.grad)
        for _, optimizer in (theirs, ours):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    same(ours[0], theirs[0])
    assert not kept.dense


def test_without_gradients_the_embedding_gets_none():
    _, (model, _), kept = pair()
    with torch.no_grad():
        model(batch(1))
    assert model.words.weight.grad is None
    model.words.weight.requires_grad_(False)
    model(batch(1)).backward()
    assert model.words.weight.grad is None
    assert not kept.rows


def test_gradients_of_others_are_added_to():
    _, (model, _), kept = pair()
    row = torch.ones(50, 6)
    model.words.weight.grad = row
    model(batch(1)).backward()
    assert model.words.weight.grad is row
    assert bool((row != 1).any())
    assert kept.values is not None
    assert not kept.values.any()


def test_another_kind_of_embedding_is_left_alone():
    class Own(nn.Embedding):
        """Somebody's own."""

    model: Any = Words()
    for words in (Own(5, 6), nn.Embedding(5, 6, sparse=True), nn.Embedding(5, 6, max_norm=1.0)):
        model.words = words
        assert keep_gradient(model) is None
