"""The last layer computed for the first token alone: losses and gradients are those of the whole
layer, where only it is read.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emomtl.model.architectures import ARCHITECTURES
from emomtl.model.fast import cpu
from emomtl.model.fast.cpu import skip_unread, use_cpu_kernels
from emomtl.model.fast.first_token import read_first_token
from emomtl.model.network import MultiTaskModel

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 12,
    "embedding_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.5,
}
LENGTHS = (5, 12, 1, 7)


def encoder_of(kind: str, **changed: Any) -> Any:
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(3)
    return AutoModel.from_config(AutoConfig.for_model(kind, **SIZES | changed)).train()


def texts() -> dict[str, Tensor]:
    torch.manual_seed(5)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    return {
        "input_ids": torch.where(mask == 1, torch.randint(5, 40, mask.shape), 1),
        "attention_mask": mask,
    }


def model_of(encoder: Any, pooling: str) -> MultiTaskModel:
    torch.manual_seed(7)
    return MultiTaskModel(encoder, pooling, {"mood": nn.Linear(12, 4)}).train()


@pytest.mark.parametrize(
    "kind", sorted(name for name, known in ARCHITECTURES.items() if not known.no_first_token)
)
@pytest.mark.parametrize("pooling", ["cls", "pooler"])
def test_vectors_and_all_gradients_are_those_of_the_whole_layer(kind, pooling):
    if kind == "electra" and pooling == "pooler":
        pytest.skip("ELECTRA has no pooler")
    whole = model_of(encoder_of(kind), pooling)
    sparing = copy.deepcopy(whole)
    use_cpu_kernels(sparing, sparing.encoder)
    skip_unread(sparing, first_token=True, word_gradient=False)
    assert sparing.first_token is not None
    found = []
    for model in (whole, sparing):
        vectors = model.encode(texts())
        model.logits("mood", vectors).square().sum().backward()
        found.append((vectors.detach(), {name: p.grad for name, p in model.named_parameters()}))
    (theirs, gradients), (ours, spared) = found
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        if gradient is None:
            assert spared[name] is None
        # where the query of a layer's softmax has no part in the loss, zeros stand for nothing
        else:
            torch.testing.assert_close(spared[name], gradient, rtol=1e-3, atol=1e-4, msg=name)


def test_the_last_layer_gives_all_tokens_bit_for_bit_in_scoring():
    encoder = encoder_of("bert")
    sparing = copy.deepcopy(encoder)
    assert read_first_token(sparing) is not None
    assert sparing(**texts()).last_hidden_state.shape == (4, 1, 12)
    assert encoder(**texts()).last_hidden_state.shape == (4, 12, 12)
    with torch.inference_mode():
        assert torch.equal(
            sparing.eval()(**texts()).last_hidden_state, encoder.eval()(**texts()).last_hidden_state
        )


def test_with_dropout_a_repeated_query_is_answered_once(monkeypatch):
    torch.manual_seed(13)
    key, value = torch.randn(2, 2, 4, 6, 8).unbind(0)
    query = torch.randn(2, 1, 32).expand(-1, 6, -1).view(2, 6, 4, 8).transpose(1, 2)
    real = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], dtype=torch.bool)[
        :, None, None, :
    ].expand(2, 1, 6, 6)
    expected = nn.functional.scaled_dot_product_attention(query, key, value, real).transpose(1, 2)
    drawn = []
    monkeypatch.setattr(cpu, "masked", lambda x, p: drawn.append(x.shape) or x)
    for mask in (real, torch.zeros(real.shape).masked_fill(~real, torch.finfo(torch.float32).min)):
        ours, _ = cpu.attend(nn.Module(), query, key, value, mask, dropout=0.1, scaling=8**-0.5)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    assert drawn == [(2, 4, 1, 6)] * 2


def test_dropout_of_the_first_token_has_its_probability():
    encoder = encoder_of("bert", num_hidden_layers=1, attention_probs_dropout_prob=0.5)
    model = model_of(encoder, "cls")
    use_cpu_kernels(model, encoder)
    skip_unread(model, first_token=True, word_gradient=False)
    one = {name: tensor[:1] for name, tensor in texts().items()}
    with torch.no_grad():
        vectors = torch.stack([model.encode(one)[0] for _ in range(64)])
    assert len(vectors.unique(dim=0)) > 16


@pytest.mark.parametrize("kind", ["distilbert", "albert", "mpnet"])
def test_other_architectures_are_left_alone(kind):
    assert read_first_token(encoder_of(kind)) is None
    assert read_first_token(SimpleNamespace(config=SimpleNamespace())) is None


def test_an_encoder_without_layers_is_left_alone():
    assert read_first_token(encoder_of("bert", num_hidden_layers=0)) is None


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_nothing_is_spared_where_all_tokens_are_read(pooling):
    model = model_of(encoder_of("bert"), pooling)
    skip_unread(model, first_token=True, word_gradient=False)
    assert model.first_token is None
    assert model.encoder(**texts()).last_hidden_state.shape == (4, 12, 12)


def test_parameters_of_one_token_exclude_keys_and_values():
    found = read_first_token(encoder_of("bert"))
    assert found is not None
    norms_and_biases = 2 * 2 * 12 + 2 * 12 + 20 + 12
    assert found.parameters == 2 * 12 * 12 + 2 * 12 * 20 + norms_and_biases
