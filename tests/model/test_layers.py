"""Layers of an encoder: each learns at the rate that its place gives it, and the last ones are
joined as the name says.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emomtl import EmomtlError, encoder_layers
from emomtl.compose import compose_file
from emomtl.model.layers import LAST, LastLayers, layer_factors
from emomtl.model.network import MultiTaskModel, Rates, parameter_groups
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run

DEPTH = 3
SMALL = {
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
}
TOKENS = {
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "roberta": SMALL | {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3},
    "electra": SMALL | {"embedding_size": 8},
    "distilbert": {"n_layers": DEPTH, "n_heads": 2, "dim": 16, "hidden_dim": 32},
    "deberta-v2": (
        SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
    ),
    "modernbert": SMALL | TOKENS,
}
INPUTS = {
    "input_ids": torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1] * 5, [1, 1, 1, 0, 0]]),
}


def encoder_of(family: str, **more: Any) -> Any:
    """A random encoder of a family, three layers deep."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family, vocab_size=30, max_position_embeddings=64, **(FAMILIES.get(family, SMALL) | more)
    )
    return AutoModel.from_config(config).eval()


def model_of(encoder: nn.Module, **more: Any) -> MultiTaskModel:
    return MultiTaskModel(
        encoder,
        more.pop("pooling", "mean"),
        {"mood": nn.Linear(16, 3), "topics": nn.Linear(16, 2)},
        **more,
    )


def rates(groups: list[dict[str, Any]]) -> dict[str, float]:
    assert all(group["peak"] == group["lr"] for group in groups)
    return {name: group["peak"] for group in groups for name in group["names"]}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_layer_learns_at_xi_to_the_layers_above_it(family: str) -> None:
    heads = {"mood": 2e-2, "topics": 3e-2}
    groups = parameter_groups(
        model_of(encoder_of(family)), nn.Linear(1, 1), Rates(1e-3, heads, 4e-2, 0.95), 0.1
    )
    wanted = {0: 1e-3 * 0.95 * 0.95, 1: 1e-3 * 0.95, 2: 1e-3}
    seen = set()
    for name, rate in rates(groups).items():
        place = re.search(r"\blayers?\.(\d+)\.", name)
        if name.startswith("heads."):
            assert rate == heads[name.split(".")[1]]
        elif name.startswith("weighting."):
            assert rate == 4e-2
        elif place is None:
            assert rate == 1e-3, (
                f"{name} stands in no layer and keeps the rate, as in the authors' code"
            )
        else:
            assert rate == pytest.approx(wanted[int(place[1])])
            seen.add(int(place[1]))
    assert seen == {0, 1, 2}


def test_a_decay_of_one_leaves_the_groups_as_they_are() -> None:
    model, state = model_of(encoder_of("bert")), nn.Linear(1, 1)
    rates = (1e-3, {"mood": 1e-3, "topics": 2e-3}, 1e-3)
    plain = parameter_groups(model, state, Rates(*rates), 0.1)
    given = parameter_groups(model, state, Rates(*rates, 1.0), 0.1)
    assert [{**group, "params": [id(p) for p in group["params"]]} for group in given] == [
        {**group, "params": [id(p) for p in group["params"]]} for group in plain
    ]
    assert layer_factors(nn.Linear(1, 1), 1.0) == {}


def test_layers_that_share_their_weights_are_refused() -> None:
    encoder = encoder_of("albert", embedding_size=8)
    with pytest.raises(EmomtlError, match="the encoder has 3 layers with the weights of 1"):
        layer_factors(encoder, 0.95)


def test_an_encoder_without_layers_is_refused() -> None:
    with pytest.raises(EmomtlError, match="lists no layers") as caught:
        layer_factors(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), 0.95)
    assert caught.value.problems[0].place == "train.layer_decay"


def test_lists_inside_of_layers_are_not_taken_for_them() -> None:
    def layer() -> nn.Module:
        return nn.ModuleDict({"experts": nn.ModuleList([nn.Linear(1, 1) for _ in range(8)])})

    encoder = nn.ModuleDict(
        {"adapters": nn.ModuleList([nn.Linear(1, 1)]), "layer": nn.ModuleList([layer(), layer()])}
    )
    assert encoder_layers(encoder) is encoder["layer"]


JOINED = {
    "mean": lambda layers: sum(layers) / len(layers),
    "max": lambda layers: torch.maximum(layers[0], layers[1]),
    "concat": lambda layers: torch.cat(layers, dim=2),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("by", JOINED)
def test_last_layers_are_joined_by_token_then_pooled(family: str, by: Any) -> None:
    encoder, kept = encoder_of(family), {}
    for number, layer in enumerate(encoder_layers(encoder)):
        layer.register_forward_hook(
            lambda module, inputs, output, number=number: kept.update({number: output})
        )
    with torch.no_grad():
        plain = encoder(**INPUTS).last_hidden_state
        before = kept[DEPTH - 2]
        wanted = JOINED[by]([before[0] if isinstance(before, tuple) else before, plain])
        found = model_of(encoder, pooling="cls", layers=LastLayers(2, by)).encode(INPUTS)
        torch.testing.assert_close(found, wanted[:, 0])
        mean = model_of(encoder, layers=LastLayers(2, by)).encode(INPUTS)
        torch.testing.assert_close(
            mean, torch.stack([wanted[0].mean(dim=0), wanted[1, :3].mean(dim=0)])
        )
    assert LastLayers(2, by).width(16) == found.shape[1] == (32 if by == "concat" else 16)


def test_one_layer_is_read_as_it_was(encoder: Any) -> None:
    class Fixed(nn.Module):
        """An encoder that would refuse to be asked for more."""

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
            return SimpleNamespace(last_hidden_state=torch.ones(2, 5, 16))

    assert model_of(Fixed(), layers=LAST).encode(INPUTS).shape == (2, 16)


CRAFT = {
    "encoder": {
        "layers": 2,
        "layers_by": "concat",
        "truncate": "head+tail",
        "head_tokens": 3,
        "max_tokens": 10,
    },
    "train": {"layer_decay": 0.5, "steps": 4},
}


def test_a_finished_run_predicts_with_its_joined_layers(desk: Any) -> None:
    from emomtl.inference.predict import Predictor
    from emomtl.inference.trained import open_trained

    run = desk.train(desk.manifest(**CRAFT))
    table = run.manifest.encoder
    assert (table.layers, table.layers_by, table.truncate, table.head_tokens) == (
        2,
        "concat",
        "head+tail",
        3,
    )
    trained = open_trained(run.folder, "last", Plugins.discover(), "cpu")
    assert (
        trained.model.heads["mood"][1].in_features == 2 * trained.model.encoder.config.hidden_size
    )
    words = [
        "i",
        "my",
        "we",
        "you",
        "it",
        "was",
        "today",
        "and",
        "so",
        "very",
        "really",
        "then",
        "home",
        "work",
        "friend",
        "day",
    ]
    long, short = " ".join(words), " ".join([*words[:3], *words[-5:]])
    one, other = Predictor.of(trained)([long, short])
    for name, value in one["mood"]["probabilities"].items():
        assert value == pytest.approx(other["mood"]["probabilities"][name], abs=1e-6)


def test_rates_of_layers_reach_the_optimiser_and_follow_the_schedule(desk: Any) -> None:
    from emomtl.train import train

    session = desk.begin(
        desk.manifest(
            **{
                **CRAFT,
                "train": {"layer_decay": 0.5, "steps": 4, "schedule": "constant", "warmup": 0.5},
            }
        )
    )
    train(session)
    assert {group["peak"] for group in session.optimizer.param_groups if not group["constant"]} == {
        5e-4,
        1e-3,
    }
    assert all(group["lr"] == group["peak"] for group in session.optimizer.param_groups)


@pytest.mark.parametrize(
    ("table", "place", "found"),
    [
        (
            {"layers": 2, "pooling": "pooler"},
            "encoder.layers",
            "the pooler reads the last layer only",
        ),
        ({"truncate": "head+tail", "head_tokens": 14}, "encoder.head_tokens", "14 of 16 tokens"),
        ({"truncate": "middle"}, "encoder.truncate", "head"),
        ({"layers": 0}, "encoder.layers", "0"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(
    desk: Any, table: dict[str, Any], place: str, found: str
) -> None:
    with pytest.raises(EmomtlError) as caught:
        compose_file(desk.manifest(encoder=table), [], Plugins.discover())
    (problem,) = caught.value.problems
    assert problem.place == place
    assert found in str(problem)


def test_more_layers_than_there_are_are_refused_with_their_number(desk: Any) -> None:
    with pytest.raises(EmomtlError, match="9 layers, and the encoder has"):
        desk.begin(desk.manifest(encoder={"layers": 9}))


def test_a_quarter_is_the_head_where_nothing_is_said(desk: Any) -> None:
    plan = compose_file(
        desk.manifest(encoder={"truncate": "head+tail", "max_tokens": 512}), [], Plugins.discover()
    )
    assert plan.encoder.truncation.head_tokens == plan.manifest.encoder.head_tokens == 128
    assert (
        compose_file(desk.manifest(), [], Plugins.discover()).manifest.encoder.head_tokens is None
    )


def test_eval_reads_long_texts_as_the_run_did(desk: Any, cli: Any) -> None:
    """Had eval kept another part of the texts, its figures would be others: the encoder's answers
    depend on all tokens.
    """
    run = desk.train(desk.manifest(**{**CRAFT, "encoder": {**CRAFT["encoder"], "max_tokens": 8}}))
    assert cli("eval", run.folder, "--split", "validation", "--checkpoint", "last").code == 0
    mine, again = [
        entry["tasks"] for entry in Run.open(run.folder).scores() if entry["which"] == "last"
    ]
    for task in ("mood", "topics"):
        assert again[task]["metrics"] == pytest.approx(mine[task]["metrics"])
