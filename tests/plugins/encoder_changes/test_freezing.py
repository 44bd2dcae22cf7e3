"""What is frozen for good, and what is opened while a run goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emomtl import EmomtlError, Moment, encoder_layers
from emomtl_plugins.encoder_changes.frozen import Frozen
from emomtl_plugins.encoder_changes.gradual import Gradual
from emomtl_plugins.encoder_changes.lora import LowRank


def trained(encoder):
    """The parts that learn: `embeddings`, and layers by number."""
    names = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    return {
        name.split(".")[2] if name.startswith("encoder.layer") else name.split(".")[0]
        for name in names
    }


def at(progress, epoch=0):
    return Moment(0, progress, epoch, 4, {"a": 1})


@pytest.mark.parametrize(
    ("layers", "left"), [(None, set()), (0, {"0", "1", "2"}), (2, {"2"}), (3, set())]
)
def test_the_encoder_is_frozen_up_to_a_layer(bert, change, layers, left):
    encoder = bert()
    change(encoder, Frozen(layers))
    assert trained(encoder) == left


def test_more_layers_than_there_are_is_an_error(bert, change):
    with pytest.raises(EmomtlError, match=r"the encoder has 3 layers \(a number up to 3"):
        change(bert(), Frozen(4))


def test_layers_open_from_the_top_down_and_the_embeddings_last(bert, change):
    encoder = bert()
    applied = change(encoder, Gradual(until=0.8))
    found = []
    for progress in (0.0, 0.19, 0.2, 0.4, 0.6, 0.79, 0.8, 1.0):
        applied.at(at(progress))
        found.append(trained(encoder))
    top, all_layers = [set(), {"2"}, {"2", "1"}], {"2", "1", "0"}
    assert found == [
        top[0],
        top[0],
        top[1],
        top[2],
        all_layers,
        all_layers,
        all_layers | {"embeddings"},
        all_layers | {"embeddings"},
    ]


def test_by_epoch_one_more_opens_each_epoch(bert, change):
    encoder = bert()
    applied = change(encoder, Gradual(start=1, by="epoch"))
    for epoch, wanted in enumerate(
        [{"2"}, {"2", "1"}, {"2", "1", "0"}, {"2", "1", "0", "embeddings"}]
    ):
        applied.at(at(0.0, epoch))
        assert trained(encoder) == wanted


@given(
    start=st.integers(0, 20),
    until=st.floats(0.01, 1.0),
    groups=st.integers(1, 30),
    points=st.lists(st.floats(0, 1), min_size=2, max_size=8),
)
def test_ever_more_groups_open_and_all_at_the_end(start, until, groups, points):
    change = Gradual(start, until)
    found = [change.open(groups, at(progress)) for progress in sorted(points)]
    assert found == sorted(found)
    assert min(start, groups) == change.open(groups, at(0.0))
    assert change.open(groups, at(until)) == change.open(groups, at(1.0)) == groups


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_is_frozen_for_good_is_never_opened(bert, change, order):
    encoder = bert()
    changes = (Gradual(), Frozen(1))
    applied = change(encoder, *(changes[place] for place in order))
    applied.at(at(0.0))
    assert trained(encoder) == set()
    applied.at(at(1.0))
    assert trained(encoder) == {"1", "2"}


def test_adapters_open_with_their_layers(bert, change):
    encoder = bert()
    applied = change(encoder, Gradual(until=1.0), LowRank())
    applied.at(at(0.3))
    names = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert names
    assert all(name.startswith("encoder.layer.2") and "lora" in name for name in names)


def test_nothing_to_unfreeze_is_refused():
    with pytest.raises(EmomtlError, match="nothing can be unfrozen gradually"):
        Gradual().check(("a",), (Frozen(),))
    Gradual().check(("a",), (Frozen(2),))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("modernbert", {"pad_token_id": 0, "global_attn_every_n_layers": 1}),
        ("distilbert", {"dim": 12, "n_layers": 3, "n_heads": 2, "hidden_dim": 20}),
        ("deberta-v2", {"relative_attention": True, "pad_token_id": 0}),
        ("mpnet", {}),
    ],
)
def test_other_architectures_are_frozen_from_the_bottom_too(kind, more, change):
    from transformers import AutoConfig, AutoModel

    sizes = {
        "hidden_size": 12,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 20,
        "vocab_size": 40,
    }
    encoder = AutoModel.from_config(AutoConfig.for_model(kind, **sizes, **more))
    change(encoder, Frozen(2))
    layers = encoder_layers(encoder)
    assert [any(p.requires_grad for p in layer.parameters()) for layer in layers] == [
        False,
        False,
        True,
    ]
    assert not encoder.get_input_embeddings().weight.requires_grad


def test_layers_that_share_their_weights_are_refused(change):
    from transformers import AlbertConfig, AlbertModel

    sizes = {
        "hidden_size": 12,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 20,
        "vocab_size": 40,
    }
    encoder = AlbertModel(AlbertConfig(**sizes, embedding_size=12))
    for wanted in (Frozen(1), Gradual()):
        with pytest.raises(EmomtlError, match="3 layers with the weights of 1"):
            change(encoder, wanted)
