"""The layers for the CPU are the same arithmetic as torch's: outputs, gradients, shares, and what a
checkpoint sees of them.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from emomtl.model.fast import cpu
from emomtl.testing import tiny_encoder


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(3)
    ones = torch.ones(400, 501)
    dropped = cpu.masked(ones, 0.1)
    share = float((dropped == 0).double().mean())
    assert abs(share - 0.1) < 5 * (0.09 / ones.numel()) ** 0.5
    kept = dropped[dropped != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / 0.9), rtol=1e-4)
    assert abs(float(dropped.double().mean()) - 1) < 0.005


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 63])
def test_dropout_takes_any_size_and_repeats_with_the_seed(size: int) -> None:
    x = torch.randn(size)
    torch.manual_seed(5)
    first = cpu.masked(x, 0.5)
    torch.manual_seed(5)
    assert torch.equal(first, cpu.masked(x, 0.5))
    assert all(
        value in (0.0, float(2 * source)) for value, source in zip(first.tolist(), x, strict=True)
    )


def test_neighbouring_masks_are_independent() -> None:
    torch.manual_seed(7)
    kept = (cpu.masked(torch.ones(1_000_000), 0.3) != 0).double() - 0.7
    for lag in (1, 2, 3, 4, 8):
        correlation = float((kept[:-lag] * kept[lag:]).mean()) / 0.21
        assert abs(correlation) < 5e-3


def test_the_gradient_of_dropout_is_its_mask() -> None:
    x = torch.randn(7, 9, requires_grad=True)
    out = cpu.masked(x, 0.4)
    out.sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad * x.detach(), out.detach())


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.5, False)])
def test_dropout_is_nothing_where_nothing_is_dropped(p: float, training: bool) -> None:
    layer = cpu.Dropout(p).train(training)
    x = torch.randn(5, 4)
    assert torch.equal(layer(x), x)


def test_a_linear_layer_has_the_outputs_and_gradients_of_torch() -> None:
    torch.manual_seed(11)
    theirs = nn.Linear(24, 40)
    ours = copy.deepcopy(theirs)
    ours.__class__ = cpu.Linear
    x = torch.randn(3, 5, 24)
    found = []
    for layer in (theirs, ours):
        given = x.clone().requires_grad_()
        out = layer(given)
        (first,) = torch.autograd.grad(out.square().sum(), given, create_graph=True)
        # second order: a weighting may differentiate the norm of a gradient
        first.square().sum().backward()
        assert layer.bias.grad is not None
        found.append([out.detach(), first.detach(), given.grad, layer.weight.grad, layer.bias.grad])
    for ours_, theirs_ in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours_, theirs_, rtol=1e-4, atol=1e-4)


def test_attention_with_dropout_is_scaled_dot_product_attention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(13)
    query, key, value = torch.randn(3, 2, 4, 6, 8).unbind(0)
    real = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], dtype=torch.bool)[
        :, None, None, :
    ].expand(2, 1, 6, 6)
    expected = nn.functional.scaled_dot_product_attention(query, key, value, real).transpose(1, 2)
    plain, _ = cpu.attend(nn.Module(), query, key, value, real, scaling=8**-0.5, is_causal=False)
    monkeypatch.setattr(cpu, "masked", lambda x, p: x)
    for mask in (real, torch.zeros(real.shape).masked_fill(~real, torch.finfo(torch.float32).min)):
        ours, _ = cpu.attend(nn.Module(), query, key, value, mask, dropout=0.1, scaling=8**-0.5)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(plain, expected, rtol=1e-5, atol=1e-5)


def pair_of_encoders(tmp_path: Path) -> tuple[Any, Any]:
    from transformers import AutoModel

    folder = tiny_encoder(tmp_path / "tiny")
    models = [
        AutoModel.from_pretrained(folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        for _ in range(2)
    ]
    cpu.use_cpu_kernels(models[1], models[1])
    return models[0].train(), models[1].train()


def test_an_encoder_keeps_its_outputs_gradients_and_names(tmp_path: Path) -> None:
    theirs, ours = pair_of_encoders(tmp_path)
    ids = torch.randint(5, 30, (4, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    outs = []
    for model in (theirs, ours):
        out = model(input_ids=ids, attention_mask=mask).last_hidden_state
        (out * mask[..., None]).square().sum().backward()
        outs.append(out.detach()[mask.bool()])
    torch.testing.assert_close(outs[1], outs[0], rtol=1e-4, atol=1e-5)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        if b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4, msg=name)


def test_an_encoder_scores_bit_for_bit_as_it_did(tmp_path: Path) -> None:
    theirs, ours = pair_of_encoders(tmp_path)
    ids = torch.randint(5, 30, (3, 7))
    with torch.inference_mode():
        answers = [model.eval()(input_ids=ids).last_hidden_state for model in (theirs, ours)]
    assert torch.equal(*answers)
