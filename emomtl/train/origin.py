"""What a run begins with: the pretrained encoder, or encoder and heads of another run."""

from __future__ import annotations

from collections.abc import Mapping
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
from emomtl.run import Checkpoint, Run, choose_weights, find_checkpoint, open_own
from emomtl.train.inherited import first_line, inherit, load_carried_over

MOST_NAMED = 8
"""Tasks that a note names."""


@dataclass(frozen=True)
class Origin:
    """An encoder with its weights, heads of an earlier run by task, and the record of both.

    `record` is for the run's environment, `notes` are for people. `heads_place` is the manifest's
    key that the heads came by. `carried_over` are tensors that changes of the encoder had learned
    in an earlier run, by their names in the changed encoder.
    """

    encoder: LoadedEncoder
    heads: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    heads_place: str = "start.heads"
    carried_over: Mapping[str, Tensor] = field(default_factory=dict)

    def load_into(self, model: MultiTaskModel) -> None:
        """Load heads, and what changes of the encoder had learned, into a model.

        In a head over tokens the rows of words that are new since stay as they began.
        """
        load_carried_over(model.encoder, self.carried_over)
        for task, weights in self.heads.items():
            fresh = model.heads[task].state_dict()
            weights = {n: _with_new_rows(value, fresh.get(n)) for n, value in weights.items()}
            try:
                model.heads[task].load_state_dict(weights)
            except RuntimeError as error:
                finding = f"the head of '{task}' does not fit: {first_line(error)}"
                remedy = "heads = false, or the plugin's version of that run"
                if self.heads_place != "start.heads":
                    remedy = "are config.json and the weights of one model?"
                raise EmomtlError(Problem(self.heads_place, finding, remedy)) from error


def _with_new_rows(value: Tensor, fresh: Tensor | None) -> Tensor:
    """A tensor, followed by the rows that a fresh one has more."""
    if fresh is None or value.shape[1:] != fresh.shape[1:] or len(value) >= len(fresh):
        return value
    return torch.cat([value.to(fresh.device), fresh[len(value) :]])


def origin_of(plan: Plan) -> Origin:
    """What a new run of this plan begins with.

    Every token that its tasks keep as one has a row in the embedding.
    """
    if plan.start is None:
        encoder = load_encoder(plan.encoder, plan.special_tokens)
        heads, notes = _pretrained_heads(plan, encoder)
        record = {"encoder_heads": list(heads)} if heads else {}
        origin = Origin(encoder, heads, record, (*encoder.notes, *notes), "encoder.use")
    else:
        origin = _origin_in_run(plan, plan.start)
        add_tokens(origin.encoder.module, origin.encoder.tokenizer, plan.special_tokens)
    _check_vocabulary(plan, origin.encoder)
    return replace(origin, notes=(*origin.notes, *probe(origin.encoder, plan.encoder)))


def recorded(run: Run) -> dict[str, Any]:
    """What a run's environment says of the origin of its encoder and heads."""
    keys = ("start", "encoder_heads")
    return {key: run.environment[key] for key in keys if key in run.environment}


def _pretrained_heads(
    plan: Plan, encoder: LoadedEncoder
) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    """Heads over tokens in the pretrained encoder's files, and notes on those that lack."""
    base = str(getattr(encoder.module, "base_model_prefix", ""))
    heads: dict[str, dict[str, Tensor]] = {}
    notes: list[str] = []
    for name, bound in plan.tasks.items():
        head = bound.head
        if isinstance(head, TokenHead) and head.pretrained:
            tensors, why_not = own_tensors(plan.encoder, base, head.pretrained)
            if tensors:
                heads[name] = tensors
            else:
                notes.append(f"tasks.{name}: its '{head.kind}' head begins fresh: {why_not}")
    return heads, notes


def _check_vocabulary(plan: Plan, encoder: LoadedEncoder) -> None:
    """EmomtlError where the tokenizer lacks what a head that reads tokens needs."""
    problems: list[Problem] = []
    for name, bound in plan.tasks.items():
        if isinstance(bound.head, TokenHead):
            try:
                bound.head.check_vocabulary(encoder.vocabulary)
            except EmomtlError as error:
                problems += [replace(problem, place=f"tasks.{name}") for problem in error.problems]
    if problems:
        raise EmomtlError(*problems)


def _origin_in_run(plan: Plan, start: Start) -> Origin:
    """The encoder of a verified checkpoint, and the heads that fit where they are wanted."""
    run = _open_start(start)
    _check_same_encoder(plan, run)
    try:
        path = find_checkpoint(run, start.checkpoint).resolve()
    except EmomtlError as error:
        raise _of_place(error, "start.checkpoint") from error
    checkpoint = open_own(run, path)
    weights = choose_weights(run, checkpoint, start.weights, "start.weights")
    tensors = checkpoint.weights(weights)
    inherited = inherit(plan, run, checkpoint, _under("encoder.", tensors))
    tasks = _tasks_with_same_head(plan, run, checkpoint) if start.heads else []
    heads = {name: _under(f"heads.{name}.", tensors) for name in tasks}
    notes = [*inherited.notes, *(_fresh_heads_note(plan, heads) if start.heads else ())]
    record: dict[str, Any] = {
        "run": str(run.folder),
        "name": run.name,
        "checkpoint": path.name,
        "sha256": checkpoint.files["model.safetensors"][0],
        "heads": list(heads),
    }
    if weights != RAW:
        record["weights"] = weights
    if inherited.record:
        record["changes"] = inherited.record
    return Origin(
        inherited.encoder,
        heads,
        {"start": record},
        tuple(notes),
        carried_over=inherited.carried_over,
    )


def _open_start(start: Start) -> Run:
    try:
        return Run.open(start.folder)
    except EmomtlError as error:
        raise _of_place(error, "start.run") from error


def _of_place(error: EmomtlError, key: str) -> EmomtlError:
    """The error of a file as one of the manifest's key that names it."""
    problems = []
    for problem in error.problems:
        finding = f"{problem.place}: {problem.found}"
        problems.append(replace(problem, place=key, found=finding))
    return EmomtlError(*problems)


def _fresh_heads_note(plan: Plan, heads: Mapping[str, Any]) -> list[str]:
    """A note on heads that begin fresh although those of the other run are wanted."""
    fresh = [name for name in plan.tasks if name not in heads and name not in plan.ties]
    if not fresh:
        return []
    shown = ", ".join(fresh[:MOST_NAMED])
    if len(fresh) > MOST_NAMED:
        shown += f", and {len(fresh) - MOST_NAMED} more"
    missing = f"it has none of the same name, kind and outputs for {shown}"
    return [f"start.heads: {len(heads)} head(s) come from that run; {missing}"]


def _check_same_encoder(plan: Plan, run: Run) -> None:
    """EmomtlError unless the manifest names the other run's encoder, by its name or its folder."""
    ours, theirs = plan.encoder.name, run.manifest.encoder.use
    our_folder = _folder(plan.folder, ours)
    if ours != theirs and our_folder != _folder(Path(run.manifest.folder or "."), theirs):
        finding = f"is '{ours}', and the run that [start] names was trained with '{theirs}'"
        remedy = f'use = "{theirs}", or start from another run'
        raise EmomtlError(Problem("encoder.use", finding, remedy))


def _folder(base: Path, use: str) -> Path:
    return (base / Path(use).expanduser()).resolve()


def _tasks_with_same_head(plan: Plan, run: Run, checkpoint: Checkpoint) -> list[str]:
    """The tasks of a plan whose heads the other run has: the same name, kind and outputs."""
    names = []
    for name, bound in plan.tasks.items():
        if name in plan.ties or name not in checkpoint.labels:
            continue
        head = run.manifest.tasks[name].head
        outputs = list(bound.head.outputs(bound.taxonomy))
        same_kind = head is not None and head.use == bound.head.kind
        if same_kind and outputs == checkpoint.labels[name]:
            names.append(name)
    return names


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, by the rest of their names."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors[name] for name in names}
