"""Projected attention layers against a second implementation, and their published sizes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl import EmomtlError
from emomtl.model.encoder_changes import AppliedChanges
from emomtl.model.fast.cpu import use_cpu_kernels
from emomtl.model.network import count_parameters, shared_parameters
from emomtl.testing import check_change
from emomtl_plugins.encoder_changes.pals import ProjectedAttention

PALS = ProjectedAttention(rank=6, heads=3)


def linear(x, module):
    return x @ module.weight.T + module.bias


def attention(x, mask, parts, heads):
    """Multi-head attention written out: softmax(Q K^T / sqrt(d)) V, without padding."""
    query, key, value = (linear(x, part) for part in parts)
    width = x.shape[-1] // heads
    found = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(width)
        scores = scores.masked_fill(mask[:, None, :] == 0, -math.inf)
        found.append(scores.softmax(-1) @ value[..., part])
    return torch.cat(found, dim=-1)


def norm(x, module):
    x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(
        x.var(-1, unbiased=False, keepdim=True) + module.eps
    )
    return x * module.weight + module.bias


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def reference(layer, pal, number, h, mask, heads, pal_heads):
    """h' = LN(a + FFN(a) + TS(h)) with TS(h) = gelu(V_D MHA(V_E h)) (Stickland & Murray 2019,
    section 3).
    """
    own = layer.attention.self
    a = linear(
        attention(h, mask, (own.query, own.key, own.value), heads), layer.attention.output.dense
    )
    a = norm(a + h, layer.attention.output.LayerNorm)
    small = pal.attentions[number]
    ts = gelu(
        linear(
            attention(linear(h, pal.down), mask, (small.query, small.key, small.value), pal_heads),
            pal.up,
        )
    )
    inner = linear(gelu(linear(a, layer.intermediate.dense)), layer.output.dense)
    return norm(a + inner + ts, layer.output.LayerNorm)


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_every_layer_is_that_of_the_formula(bert, inputs, change, kernel):
    encoder = bert(initializer_range=0.5, attn_implementation=kernel)
    applied = change(encoder, PALS)
    for task in ("goemotions", "sst-2"):
        pal = encoder.pals[task]
        torch.nn.init.normal_(pal.up.bias)
        with torch.no_grad(), applied.switch.using(task):
            states = encoder(**inputs, output_hidden_states=True).hidden_states
        for number, layer in enumerate(encoder.encoder.layer):
            wanted = reference(layer, pal, number, states[number], inputs["attention_mask"], 2, 3)
            assert torch.allclose(states[number + 1], wanted, atol=1e-5)


def test_each_task_has_vectors_of_its_own(bert, inputs, change):
    both, one = bert(initializer_range=0.5), bert(initializer_range=0.5)
    answers = {}
    for name, encoder, applied in (
        ("both", both, change(both, PALS)),
        ("one", one, change(one, PALS, tasks=("sst-2",))),
    ):
        for task in applied.switch.tasks:
            with applied.switch.using(task):
                answers[name, task] = encoder(**inputs).last_hidden_state
    assert torch.equal(answers["both", "sst-2"], answers["one", "sst-2"])
    assert not torch.allclose(answers["both", "sst-2"], answers["both", "goemotions"], atol=1e-3)


def test_without_a_task_the_encoder_says_what_is_missing(bert, inputs, change):
    encoder = bert()
    change(encoder, PALS)
    with pytest.raises(EmomtlError, match="no task was named"):
        encoder(**inputs)


def test_pals_that_say_nothing_leave_the_encoder_as_it_was(bert, inputs, change):
    encoder = bert()
    before = encoder(**inputs).last_hidden_state
    applied = change(encoder, PALS)
    torch.nn.init.zeros_(encoder.pals["sst-2"].up.weight)
    with applied.switch.using("sst-2"):
        assert torch.equal(encoder(**inputs).last_hidden_state, before)


@settings(max_examples=15, deadline=None)
@given(
    width=st.integers(2, 6).map(lambda n: 4 * n),
    layers=st.integers(1, 3),
    heads=st.integers(1, 4),
    each=st.integers(1, 5),
    tasks=st.integers(1, 3),
)
def test_a_task_costs_two_projections_and_one_attention_a_layer(width, layers, heads, each, tasks):
    from transformers import BertConfig, BertModel

    rank = heads * each
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 9,
    }
    with torch.device("meta"):
        encoder = BertModel(BertConfig(**sizes))
        whole = sum(p.numel() for p in encoder.parameters())
        applied = AppliedChanges.of(
            encoder, (ProjectedAttention(rank, heads),), [f"t{i}" for i in range(tasks)], 1
        )
    cost = (width * rank + rank) + (rank * width + width) + layers * 3 * (rank * rank + rank)
    assert sum(p.numel() for p in encoder.parameters()) == whole + tasks * cost
    assert len(applied.own) == tasks * (4 + 6 * layers)


def test_bert_base_has_the_published_sizes(build):
    from transformers import BertConfig, BertModel

    def counted(tasks, changes):
        names = tuple(f"task-{number}" for number in range(tasks))
        with torch.device("meta"):
            return count_parameters(
                build(BertModel(BertConfig()), *changes, tasks=names, pooling="pooler", width=768)
            )

    head, pal = 768 * 2 + 2, 1_819_836
    plain = counted(1, ())
    assert plain == {
        "total": 109_483_778,
        "trainable": 109_483_778,
        "shared": 109_482_240,
        "tasks": {"task-0": head},
    }
    one, two, eight = (counted(tasks, (ProjectedAttention(),)) for tasks in (1, 2, 8))
    assert set(two["tasks"].values()) == {pal + head}
    assert (round(one["total"] / 1e6, 1), round(two["total"] / 1e6, 1)) == (111.3, 113.1)
    assert round(eight["total"] / plain["total"], 2) == 1.13


@pytest.mark.parametrize("kind", ["roberta", "electra", "xlm-roberta"])
def test_pals_go_into_encoders_of_berts_kind(kind, inputs, change):
    from transformers import AutoConfig, AutoModel

    sizes = {
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 20,
        "vocab_size": 40,
    }
    encoder = AutoModel.from_config(AutoConfig.for_model(kind, **sizes, embedding_size=12)).eval()
    applied = change(encoder, PALS)
    answers = []
    for task in applied.switch.tasks:
        with applied.switch.using(task):
            answers.append(encoder(**inputs).last_hidden_state)
    assert not torch.allclose(*answers)


@pytest.mark.parametrize("kind", ["modernbert", "distilbert", "deberta-v2", "albert"])
def test_other_encoders_are_refused_with_those_that_work(kind, change):
    from transformers import AutoConfig, AutoModel

    sizes = {
        "hidden_size": 12,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 20,
        "vocab_size": 40,
    }
    more = (
        {"dim": 12, "n_layers": 1, "n_heads": 2, "hidden_dim": 20}
        if kind == "distilbert"
        else {"pad_token_id": 0}
    )
    encoder = AutoModel.from_config(AutoConfig.for_model(kind, **sizes, **more))
    with pytest.raises(EmomtlError, match=f"'{kind}'.*BERT, RoBERTa, XLM-R"):
        change(encoder, PALS)


def test_a_rank_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(EmomtlError, match="a rank of 204 cannot be divided by 5 heads"):
        ProjectedAttention(heads=5).check(("a",), ())


def test_layers_for_the_cpu_compute_pals_too(bert, inputs, build):
    found = []
    for on_cpu in (False, True):
        encoder = bert(
            initializer_range=0.5, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        model = build(encoder, PALS, tasks=("x", "y"))
        if on_cpu:
            use_cpu_kernels(model, encoder)
        model.train()
        model.encode(inputs, "x").square().sum().backward()
        found.append([p.grad for p in (*shared_parameters(model), *encoder.pals["x"].parameters())])
        assert all(p.grad is None for p in encoder.pals["y"].parameters())
    for plain, changed in zip(*found, strict=True):
        assert torch.allclose(plain, changed, atol=1e-5)


def test_the_check_for_authors_passes():
    check_change(ProjectedAttention())
