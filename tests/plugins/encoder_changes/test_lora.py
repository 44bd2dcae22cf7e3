"""LoRA: what it adds by its formula, what it freezes, and adapters that tasks do not share."""

from __future__ import annotations

import builtins
import importlib.util

import pytest
import torch

from emomtl import EmomtlError
from emomtl.model.fast.cpu import use_cpu_kernels
from emomtl.model.network import shared_parameters
from emomtl.testing import check_change
from emomtl_plugins.encoder_changes.frozen import Frozen
from emomtl_plugins.encoder_changes.lora import LowRank
from emomtl_plugins.encoder_changes.pals import ProjectedAttention

TASKS = ("goemotions", "sst-2")


def answer(encoder, applied, inputs, task):
    with applied.switch.using(task):
        return encoder(**inputs).last_hidden_state


def trained(encoder):
    return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}


def fill(encoder):
    """Numbers in every B, which start at 0."""
    for name, parameter in encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)


def test_at_first_the_answer_is_the_pretrained_encoders(bert, inputs, change):
    encoder = bert()
    before = encoder(**inputs).last_hidden_state
    applied = change(encoder, LowRank())
    assert torch.allclose(answer(encoder, applied, inputs, None), before)


def test_it_adds_alpha_over_r_times_b_a(bert, inputs, change):
    plain, encoder = bert(initializer_range=0.5), bert(initializer_range=0.5)
    applied = change(encoder, LowRank(r=2, alpha=6))
    fill(encoder)
    with torch.no_grad():
        for theirs, ours in zip(plain.encoder.layer, encoder.encoder.layer, strict=True):
            for name in ("query", "value"):
                layer = getattr(ours.attention.self, name)
                update = layer.lora_B["shared"].weight @ layer.lora_A["shared"].weight
                getattr(theirs.attention.self, name).weight += 6 / 2 * update
        wanted = plain(**inputs).last_hidden_state
        assert torch.allclose(answer(encoder, applied, inputs, None), wanted, atol=1e-4)


def test_only_adapters_learn_unless_the_encoder_is_told_to(bert, change):
    encoder = bert()
    change(encoder, LowRank())
    assert {name.split(".")[-3] for name in trained(encoder)} == {"lora_A", "lora_B"}
    assert len(trained(encoder)) == 3 * 2 * 2
    whole = bert()
    change(whole, LowRank(train_encoder=True))
    assert trained(whole) == {name for name, _ in whole.named_parameters()}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_only_pretrained_parameters_are_frozen(bert, change, order):
    encoder = bert()
    before = {name for name, _ in encoder.named_parameters()}
    changes = (Frozen(), LowRank(), ProjectedAttention(6, 3))
    change(encoder, *(changes[place] for place in order))
    added = {
        name
        for name, _ in encoder.named_parameters()
        if name.replace(".base_layer", "") not in before
    }
    assert trained(encoder) == added
    assert not any("pals" in name and "lora" in name for name in added)


def test_one_step_trains_the_adapters_of_all_tasks(bert, inputs, build):
    encoder = bert()
    model = build(encoder, LowRank(per_task_adapters=True))
    fill(encoder)
    use_cpu_kernels(model, encoder)
    model.train()
    pooled = model.pooled(inputs, dict.fromkeys(TASKS, 2))
    assert not torch.allclose(pooled["sst-2"], pooled["goemotions"])
    sum(vectors.square().sum() for vectors in pooled.values()).backward()
    grads = {name: p.grad for name, p in encoder.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.any() for grad in grads.values())
    assert len(grads) == 2 * 3 * 2 * 2
    assert set(model.changes.own) == set(grads)
    assert list(shared_parameters(model)) == []


@pytest.mark.parametrize("options", [{}, {"train_encoder": True}, {"r": 2, "targets": ("dense",)}])
def test_the_check_for_authors_passes_with_adapters_for_each_task(options):
    check_change(LowRank(per_task_adapters=True, **options))


def test_an_unknown_layer_is_named_with_the_known(bert, change):
    with pytest.raises(
        EmomtlError, match=r"no linear layer is called Wqkv.*dense, key, query, value"
    ):
        change(bert(), LowRank(targets=("Wqkv",)))


def test_without_peft_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("emomtl_plugins.encoder_changes.lora.find_spec", lambda name: None)
    with pytest.raises(
        EmomtlError, match=r'needs the Python package .peft. \(pip install "emomtl\[peft\]"\)'
    ):
        LowRank().check(TASKS, ())


def test_importing_the_plugin_does_not_import_peft():
    found = importlib.util.find_spec("emomtl_plugins.encoder_changes.lora")
    seen = []
    original = builtins.__import__

    def watch(name, *rest):
        seen.append(name)
        return original(name, *rest)

    builtins.__import__ = watch
    try:
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
    finally:
        builtins.__import__ = original
    assert "emomtl" in seen
    assert not [name for name in seen if name.split(".")[0] in {"peft", "torch"}]
