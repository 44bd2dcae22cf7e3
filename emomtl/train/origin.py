"""What a run begins with: the pretrained encoder, or the encoder (and heads) of another run's checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emomtl.compose import Plan, Start
from emomtl.contracts.heads import TokenHead
from emomtl.errors import EmomtlError, Problem
from emomtl.metrics.selection import RAW
from emomtl.model.encoder import add_tokens, load_encoder, own_tensors
from emomtl.model.loaded import LoadedEncoder
from emomtl.model.network import MultiTaskModel
from emomtl.model.probe import probe
from emomtl.run import Checkpoint, Run, find_checkpoint, open_own
from emomtl.run.weights import choose_weights
from emomtl.train.inherited import first_line, give_added, inherit

MOST_NAMED = 8
"""Tasks that a note names."""


@dataclass(frozen=True)
class Origin:
    """An encoder with its weights, heads of an earlier run by task, and what the run's environment records of both.

    `notes` are what there is to say of both, for people. `heads_place` is the manifest's key that the heads came by. `added`
    are tensors that changes of the encoder had learned in an earlier run, by their names in the changed encoder.
    """

    encoder: LoadedEncoder
    heads: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    heads_place: str = "start.heads"
    added: Mapping[str, Tensor] = field(default_factory=dict)

    def give(self, model: MultiTaskModel) -> None:
        """Put what was taken over beside the encoder into a model: heads, and what changes of the encoder had learned.

        In a head the rows of words that are new since stay as they began.
        """
        give_added(model.encoder, self.added)
        for task, weights in self.heads.items():
            begun = model.heads[task].state_dict()
            try:
                model.heads[task].load_state_dict({name: _lengthened(value, begun.get(name)) for name, value in weights.items()})
            except RuntimeError as error:
                found = f"the head of '{task}' does not fit: {first_line(error)}"
                remedy = "heads = false, or the plugin's version of that run"
                if self.heads_place != "start.heads":
                    remedy = "are config.json and the weights of one model?"
                raise EmomtlError(Problem(self.heads_place, found, remedy)) from error


def origin_of(plan: Plan) -> Origin:
    """What a new run of this plan begins with; every token that its tasks keep whole has a row in the embedding."""
    if plan.start is None:
        encoder = load_encoder(plan.encoder, plan.special_tokens)
        heads, notes = _own_heads(plan, encoder)
        record = {"encoder_heads": list(heads)} if heads else {}
        origin = Origin(encoder, heads, record, (*encoder.notes, *notes), "encoder.use")
    else:
        origin = _of_run(plan, plan.start)
        add_tokens(origin.encoder.module, origin.encoder.tokenizer, plan.special_tokens)
    _check_vocabulary(plan, origin.encoder)
    return replace(origin, notes=(*origin.notes, *probe(origin.encoder, plan.encoder)))


def recorded(run: Run) -> dict[str, Any]:
    """What a run's environment says of where its encoder and heads came from; nothing where both were what a run begins with."""
    return {key: run.environment[key] for key in ("start", "encoder_heads") if key in run.environment}


def _own_heads(plan: Plan, encoder: LoadedEncoder) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    """Heads over tokens that the pretrained encoder's own files have, and a note for each that is not there."""
    base = str(getattr(encoder.module, "base_model_prefix", ""))
    heads: dict[str, dict[str, Tensor]] = {}
    notes: list[str] = []
    for name, bound in plan.tasks.items():
        if isinstance(bound.head, TokenHead) and bound.head.pretrained:
            tensors, why = own_tensors(plan.encoder, base, bound.head.pretrained)
            if tensors:
                heads[name] = tensors
            else:
                notes.append(f"tasks.{name}: its '{bound.head.kind}' head begins fresh: {why}")
    return heads, notes


def _check_vocabulary(plan: Plan, encoder: LoadedEncoder) -> None:
    """Let each head that reads tokens see whether the tokenizer has what it needs."""
    problems: list[Problem] = []
    for name, bound in plan.tasks.items():
        if isinstance(bound.head, TokenHead):
            try:
                bound.head.check_vocabulary(encoder.vocabulary)
            except EmomtlError as error:
                problems += [replace(problem, place=f"tasks.{name}") for problem in error.problems]
    if problems:
        raise EmomtlError(*problems)


def _of_run(plan: Plan, start: Start) -> Origin:
    """The encoder of a verified checkpoint, and the heads that fit where they are wanted."""
    try:
        run = Run.open(start.folder)
    except EmomtlError as error:
        raise EmomtlError(*(replace(p, place="start.run", found=f"{p.place}: {p.found}") for p in error.problems)) from error
    _check_encoder(plan, run)
    try:
        path = find_checkpoint(run, start.checkpoint).resolve()
    except EmomtlError as error:
        found = (replace(p, place="start.checkpoint", found=f"{p.place}: {p.found}") for p in error.problems)
        raise EmomtlError(*found) from error
    checkpoint = open_own(run, path)
    weights = choose_weights(run, checkpoint, start.weights, "start.weights")
    tensors = checkpoint.weights(weights)
    inherited = inherit(plan, run, checkpoint, _below(tensors, "encoder."))
    heads = {name: _below(tensors, f"heads.{name}.") for name in _fitting(plan, run, checkpoint)} if start.heads else {}
    record = {
        "run": str(run.folder),
        "name": run.name,
        "checkpoint": path.name,
        "sha256": checkpoint.files["model.safetensors"][0],
        "heads": list(heads),
        **({"weights": weights} if weights != RAW else {}),
        **({"changes": inherited.record} if inherited.record else {}),
    }
    notes = (*inherited.notes, *(_of_heads(plan, heads) if start.heads else ()))
    return Origin(inherited.encoder, heads, {"start": record}, notes, added=inherited.added)


def _of_heads(plan: Plan, heads: Mapping[str, Any]) -> Iterator[str]:
    """Which heads begin fresh although those of the other run are wanted."""
    fresh = [name for name in plan.tasks if name not in heads and name not in plan.ties]
    if fresh:
        shown = ", ".join(fresh[:MOST_NAMED]) + (f", and {len(fresh) - MOST_NAMED} more" if len(fresh) > MOST_NAMED else "")
        yield f"start.heads: {len(heads)} head(s) come from that run; it has none of the same name, kind and outputs for {shown}"


def _check_encoder(plan: Plan, run: Run) -> None:
    """The manifest has to name the encoder that the other run was trained with: by the same name, or as the same folder."""
    ours, theirs = plan.encoder.name, run.manifest.encoder.use
    if ours != theirs and _folder(plan.folder, ours) != _folder(Path(run.manifest.folder or "."), theirs):
        found = f"is '{ours}', and the run that [start] names was trained with '{theirs}'"
        raise EmomtlError(Problem("encoder.use", found, f'use = "{theirs}", or start from another run'))


def _folder(base: Path, use: str) -> Path:
    return (base / Path(use).expanduser()).resolve()


def _fitting(plan: Plan, run: Run, checkpoint: Checkpoint) -> list[str]:
    """The tasks of a plan whose heads the other run has: the same name, kind and outputs."""
    labels = checkpoint.labels
    found = []
    for name, bound in plan.tasks.items():
        table = run.manifest.tasks[name].head if name in labels else None
        if (
            name not in plan.ties
            and table is not None
            and table.use == bound.head.kind
            and list(bound.head.outputs(bound.taxonomy)) == labels[name]
        ):
            found.append(name)
    return found


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _lengthened(value: Tensor, begun: Tensor | None) -> Tensor:
    """A tensor, followed by the rows that `begun` has more."""
    if begun is None or value.shape[1:] != begun.shape[1:] or len(value) >= len(begun):
        return value
    return torch.cat([value.to(begun.device), begun[len(value) :]])
