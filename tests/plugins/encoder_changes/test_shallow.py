"""An encoder of which the upper layers are left out."""

from __future__ import annotations

import pytest

from emomtl import EmomtlError, encoder_layers
from emomtl_plugins.encoder_changes.frozen import Frozen
from emomtl_plugins.encoder_changes.shallow import Shallow


def test_the_lowest_layers_stay_and_the_config_says_so(bert, change):
    encoder, whole = bert(), bert()
    change(encoder, Shallow(2))
    assert len(encoder_layers(encoder)) == encoder.config.num_hidden_layers == 2
    kept = dict(encoder.named_parameters())
    assert {name for name, _ in whole.named_parameters()} - kept.keys() == {
        name for name, _ in whole.named_parameters() if name.startswith("encoder.layer.2.")
    }


def test_its_vectors_are_the_hidden_states_of_that_layer(bert, change):
    import torch

    encoder = bert().eval()
    ids = torch.arange(5, 11).reshape(2, 3)
    with torch.no_grad():
        wanted = encoder(ids, output_hidden_states=True).hidden_states[2]
        change(encoder, Shallow(2))
        found = encoder(ids).last_hidden_state
    assert torch.equal(found, wanted)


def test_more_layers_than_there_are_is_an_error(bert, change):
    with pytest.raises(EmomtlError, match=r"the encoder has 3 layers \(a number up to 3"):
        change(bert(), Shallow(4))


def test_it_goes_with_frozen_layers(bert, change):
    encoder = bert()
    change(encoder, Shallow(2), Frozen(1))
    trained = {
        name.split(".")[2]
        for name, p in encoder.named_parameters()
        if p.requires_grad and ".layer." in name
    }
    assert trained == {"1"}
