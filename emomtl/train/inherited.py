"""What a run takes over of another run's encoder, which may have been changed in another way than its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from emomtl.compose import Plan, changes_of
from emomtl.contracts.encoder_change import EncoderChange
from emomtl.errors import EmomtlError, Problem
from emomtl.manifest import options_of
from emomtl.model.encoder import rebuild_encoder
from emomtl.model.loaded import LoadedEncoder
from emomtl.run import Checkpoint, Run


@dataclass(frozen=True)
class Inherited:
    """The encoder without changes, with its weights, and what `[[encoder.changes]]` of both runs have in common.

    `added` are tensors of changes that this run has too, by their names in the changed encoder; they are loaded
    once the changes are applied. `record` says by change what became of it, `notes` say it to people.
    """

    encoder: LoadedEncoder
    added: dict[str, Tensor] = field(default_factory=dict)
    record: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def inherit(plan: Plan, run: Run, checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> Inherited:
    """The encoder of another run's checkpoint for this plan; `weights` are its tensors, as the checkpoint names them.

    A change that both runs have, with equal options, is carried over: what all tasks share, and what belongs to a
    task of this run. Any other change is merged into the encoder where it can be, or left behind where all of it
    belongs to single tasks. EmomtlError where neither is possible.
    """
    kept = run.kept_encoder()
    encoder = rebuild_encoder(plan.encoder, kept, checkpoint.size("model"))
    theirs = _their_changes(plan, run)
    if not theirs:
        _load(encoder.module, weights, checkpoint)
        return Inherited(encoder)
    their_tasks = tuple(name for name, table in run.manifest.tasks.items() if table.trained)
    changed = rebuild_encoder(plan.encoder, kept, checkpoint.size("model"))
    # a change may wrap a pretrained layer, which renames its tensors; they stay the same objects, and load in place
    pretrained = changed.module.state_dict(keep_vars=True)
    changed = changed.changed(theirs, their_tasks, run.manifest.seed)
    _check_same(pretrained, changed.module)
    _load(changed.module, weights, checkpoint)
    fates = _Fates(plan, run, theirs, changed)
    fates.decide()
    _load(encoder.module, {name: tensor.detach() for name, tensor in pretrained.items()}, checkpoint)
    return Inherited(encoder, fates.added, fates.record, tuple(f"start.run: {line}" for line in fates.notes))


@dataclass
class _Fates:
    """Decides what becomes of each change of the other run, whose encoder `changed` is, and remembers it."""

    plan: Plan
    run: Run
    theirs: Sequence[EncoderChange]
    changed: LoadedEncoder
    added: dict[str, Tensor] = field(default_factory=dict)
    record: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def decide(self) -> None:
        """Carry over, merge or leave behind each change that has tensors of its own; the last applied comes first."""
        assert self.changed.changes is not None
        tensors = self.changed.module.state_dict()
        for number in reversed(range(len(self.theirs))):
            names = [name for name, by in self.changed.changes.added.items() if by == number and name in tensors]
            if names:  # freezing, for one, adds nothing
                self._decide(number, {name: tensors[name] for name in names})

    def _decide(self, number: int, tensors: Mapping[str, Tensor]) -> None:
        assert self.changed.changes is not None
        name, change = self.run.manifest.encoder.changes[number].use, self.theirs[number]
        owners = {tensor: self.changed.changes.own.get(tensor) for tensor in tensors}
        uses = [use.use for use in self.plan.manifest.encoder.changes]
        ours = self.plan.changes[uses.index(name)] if name in uses else None
        if ours is not None and options_of(ours) == options_of(change):
            self._carry(name, tensors, owners)
            return
        fresh = "" if ours is None else f"; this run's '{name}' has other options and begins fresh"
        if change.merge(self.changed.module):
            self.record[name] = "merged"
            self.notes.append(f"that run's '{name}' is merged into the encoder's weights{fresh}")
        elif None not in owners.values():
            self.record[name] = "left behind"
            tasks = ", ".join(dict.fromkeys(str(owner) for owner in owners.values()))
            self.notes.append(
                f"that run's '{name}' is left behind, as it belongs to single tasks ({tasks}): only what they share is "
                f"taken over{fresh}; `[[encoder.changes]]` as in that run would keep it"
            )
        else:
            raise self._refusal(name, change, ours)

    def _carry(self, name: str, tensors: Mapping[str, Tensor], owners: Mapping[str, str | None]) -> None:
        """Take over what all tasks share, and what belongs to a task that this run has, too."""
        mine = set(self.plan.tasks)
        self.added |= {tensor: value for tensor, value in tensors.items() if owners[tensor] is None or owners[tensor] in mine}
        self.record[name] = "carried over"
        theirs = dict.fromkeys(owner for owner in owners.values() if owner is not None)
        if not theirs:
            self.notes.append(f"that run's '{name}' is carried over")
            return
        parts = {
            "carried over for": [task for task in theirs if task in mine],
            "left behind for": [task for task in theirs if task not in mine],
            "fresh for": [task for task in self.plan.tasks if task not in theirs],
        }
        said = "; ".join(f"{what} {', '.join(tasks)}" for what, tasks in parts.items() if tasks)
        self.notes.append(f"that run's '{name}' is {said}")

    def _refusal(self, name: str, change: EncoderChange, ours: EncoderChange | None) -> EmomtlError:
        here = "this run has no such change" if ours is None else f"this run's has the options {options_of(ours)}"
        found = (
            f"that run's encoder was trained with '{name}' and the options {options_of(change)}, {here}, and what all "
            "tasks share of it cannot be merged into the encoder's weights"
        )
        remedy = "list it in [[encoder.changes]] with the same options, or start from a run without it"
        return EmomtlError(Problem("start.run", found, remedy))


def give_added(encoder: nn.Module, added: Mapping[str, Tensor]) -> None:
    """Put what changes had learned in another run into an encoder with the same changes."""
    own = encoder.state_dict()
    for name, value in added.items():
        there = tuple(own[name].shape) if name in own else "missing"
        if there != tuple(value.shape):
            found = f"'{name}' of that run's encoder is {tuple(value.shape)}, and {there} in this run's"
            raise EmomtlError(Problem("start.run", found, "do the two runs use one version of the plugin?"))
    encoder.load_state_dict(dict(added), strict=False)


def _their_changes(plan: Plan, run: Run) -> tuple[EncoderChange, ...]:
    """The changes of the other run's encoder; what is wrong with them is said of `start.run`."""
    try:
        return changes_of(run.manifest, plan.plugins, run.folder)
    except EmomtlError as error:
        said = (replace(p, place="start.run", found=f"that run's {p.place}: {p.found}", line=None) for p in error.problems)
        raise EmomtlError(*said) from error


def _check_same(pretrained: Mapping[str, Tensor], changed: nn.Module) -> None:
    """Refuse an encoder in which a change put another tensor into the place of a pretrained one."""
    there = {id(tensor) for tensor in changed.state_dict(keep_vars=True).values()}
    for name, tensor in pretrained.items():
        if id(tensor) not in there:
            found = f"a change of that run's encoder replaces its '{name}', so that cannot be told from what was added"
            raise EmomtlError(Problem("start.run", found, "start from a run without that change"))


def _load(module: nn.Module, weights: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    """All weights of the encoder; a pooler that this run does not use is left out, anything else that differs is refused."""
    known = module.state_dict()
    weights = {name: tensor for name, tensor in weights.items() if name in known or not name.startswith("pooler.")}
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        found = f"{checkpoint.path} does not fit this encoder: {first_line(error)}"
        remedy = "`encoder.pooling` and whatever changes the encoder must be as in that run"
        raise EmomtlError(Problem("start.run", found, remedy)) from error


def first_line(error: RuntimeError) -> str:
    """What torch says first of what does not fit."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return (lines[1] if len(lines) > 1 else lines[0])[:200]
