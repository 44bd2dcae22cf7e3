"""The model of a run: built from its plan, and restored from a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from emomtl.contracts.encoder_change import modules_by_name
from emomtl.contracts.heads import TokenHead
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.metrics.selection import RAW
from emomtl.model.network import MultiTaskModel
from emomtl.seeds import torch_seed

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.model.loaded import LoadedEncoder
    from emomtl.run import Checkpoint


def change_encoder(plan: Plan, encoder: LoadedEncoder) -> LoadedEncoder:
    """The encoder with the plan's changes applied; EmomtlError where one does not fit it."""
    return encoder.changed(plan.changes, tuple(plan.tasks), plan.manifest.seed)


def build_model(plan: Plan, encoder: LoadedEncoder, feature_count: int = 0) -> MultiTaskModel:
    """The encoder with fresh heads, and the modules of objectives.

    Heads read the encoder's pooled vector and, after it, `feature_count` numbers of features; heads
    over tokens read states. The first weights of a module depend on the seed and on its own name,
    not on the other tasks. A task that is tied to another answers with that one's head. The labels
    of all tasks have to be known.
    """
    seed, ties = plan.manifest.seed, plan.ties
    heads: dict[str, nn.Module] = {}
    objectives: dict[str, nn.Module] = {}
    has_token_head = False
    with torch.random.fork_rng(devices=[]):
        for name, bound in plan.tasks.items():
            torch.manual_seed(torch_seed(seed, "head", name))
            if isinstance(bound.head, TokenHead):
                heads[name] = bound.head.build_on_tokens(encoder.hidden, encoder.vocabulary)
                has_token_head = True
            elif name not in ties:
                heads[name] = bound.head.build(encoder.width + feature_count, bound.taxonomy)
        for name, objective in plan.objectives.items():
            torch.manual_seed(torch_seed(seed, "objective", name))
            taxonomy = plan.tasks[objective.task].taxonomy
            objectives[name] = objective.objective.build(encoder.width, taxonomy)
    choice = plan.encoder
    module, changes = encoder.module, encoder.changes
    model = MultiTaskModel(module, choice.pooling, heads, ties, changes, choice.layers)
    model.objectives = modules_by_name(objectives)
    if has_token_head:
        model.vocabulary = encoder.vocabulary
    return model


def restore_model(model: MultiTaskModel, checkpoint: Checkpoint, weights: str = RAW) -> None:
    """Load the weights of a checkpoint: `raw`, or `ema`, their moving average.

    EmomtlError where names or shapes are not the model's, which is seen before weights are read.
    """
    remedy = "the encoder, a task's labels or a plugin changed since the run was made"

    def misfit(finding: str) -> EmomtlError:
        found = f"does not fit this model: {finding}"
        return EmomtlError(Problem(str(checkpoint.path), found, remedy))

    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    saved = checkpoint.shapes("model")
    for name in sorted(expected.keys() | saved.keys()):
        if expected.get(name) != saved.get(name):
            in_checkpoint, in_model = saved.get(name, "missing"), expected.get(name, "unknown")
            raise misfit(f"'{clean(name)}' is {in_checkpoint}, and {in_model} here")
    try:
        model.load_state_dict(checkpoint.weights(weights))
    except RuntimeError as error:
        # The first line of torch's message says only that there were errors.
        lines = str(error).split("\n")
        raise misfit((lines[1] if len(lines) > 1 else lines[0]).strip()[:200]) from error
