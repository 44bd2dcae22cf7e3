"""Small random encoders for the tests of changes, and a way to change them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from emomtl import EncoderChange, SingleLabel, Taxonomy
from emomtl.model.build import build_model, change_encoder
from emomtl.model.encoder_changes import AppliedChanges
from emomtl.model.loaded import EncoderChoice, LoadedEncoder
from emomtl.model.network import MultiTaskModel

TASKS = ("goemotions", "sst-2")


@pytest.fixture
def bert() -> Callable[..., Any]:
    """A maker of small BERTs with random weights in evaluation mode; options are those of
    BertConfig.
    """
    from transformers import BertConfig, BertModel

    def make(**options: Any) -> Any:
        sizes = {
            "hidden_size": 12,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "intermediate_size": 20,
            "vocab_size": 40,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return BertModel(BertConfig(**(sizes | options)), add_pooling_layer=False).eval()

    return make


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    """Two texts of seven tokens, the second with padding."""
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 4:] = 0
    return {"input_ids": torch.arange(3, 17).view(2, 7), "attention_mask": mask}


@pytest.fixture
def change() -> Callable[..., AppliedChanges]:
    """Apply changes to an encoder for two tasks."""

    def apply(
        encoder: nn.Module, *changes: EncoderChange, tasks: tuple[str, ...] = TASKS, seed: int = 5
    ) -> AppliedChanges:
        return AppliedChanges.of(encoder, changes, tasks, seed)

    return apply


@pytest.fixture
def build() -> Callable[..., MultiTaskModel]:
    """Make a model of an encoder with changes, and with a head of two labels for each task."""

    def build(
        encoder: nn.Module,
        *changes: EncoderChange,
        tasks: tuple[str, ...] = TASKS,
        pooling: str = "mean",
        width: int = 12,
    ) -> MultiTaskModel:
        bound = SimpleNamespace(head=SingleLabel(), taxonomy=Taxonomy(["a", "b"]))
        plan: Any = SimpleNamespace(
            tasks=dict.fromkeys(tasks, bound), objectives={}, ties={}, changes=changes
        )
        plan.encoder = EncoderChoice("bert", "bert", None, pooling, 50)
        plan.manifest = SimpleNamespace(seed=1)
        return build_model(plan, change_encoder(plan, LoadedEncoder(encoder, None, width)))

    return build
