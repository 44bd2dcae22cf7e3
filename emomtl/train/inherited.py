"""The encoder of another run, which may have had other `[[encoder.changes]]` than this one."""

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
    """The encoder without changes, with the other run's weights.

    `carried_over` are tensors of changes that this run has too, by their names in the changed
    encoder; they are loaded once the changes are applied. `record` says by change what became of
    it, `notes` say it to people.
    """

    encoder: LoadedEncoder
    carried_over: dict[str, Tensor] = field(default_factory=dict)
    record: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def inherit(
    plan: Plan, run: Run, checkpoint: Checkpoint, weights: Mapping[str, Tensor]
) -> Inherited:
    """The encoder of another run's checkpoint for this plan; `weights` are its tensors by name.

    A change that both runs have, with equal options, is carried over: what all tasks share, and
    what belongs to a task of this run. Any other change is merged into the encoder's weights where
    that is possible, or left behind where all of it belongs to single tasks. EmomtlError where
    neither is possible.
    """
    kept_encoder, size = run.kept_encoder(), checkpoint.size("model")
    encoder = rebuild_encoder(plan.encoder, kept_encoder, size)
    theirs = _changes_of_other_run(plan, run)
    if not theirs:
        _load(encoder.module, weights, checkpoint)
        return Inherited(encoder)
    their_tasks = tuple(name for name, table in run.manifest.tasks.items() if table.trained)
    changed = rebuild_encoder(plan.encoder, kept_encoder, size)
    # A change may wrap a pretrained layer, which renames its tensors. They stay the same objects,
    # so what is loaded into the changed encoder is seen through these names, too.
    pretrained = changed.module.state_dict(keep_vars=True)
    changed = changed.changed(theirs, their_tasks, run.manifest.seed)
    _check_tensors_are_the_same(pretrained, changed.module)
    _load(changed.module, weights, checkpoint)
    decisions = _Decisions(plan, run, theirs, changed)
    decisions.decide_all()
    # After the decisions: merging has changed the pretrained tensors.
    _load(encoder.module, {n: tensor.detach() for n, tensor in pretrained.items()}, checkpoint)
    notes = tuple(f"start.run: {line}" for line in decisions.notes)
    return Inherited(encoder, decisions.carried_over, decisions.record, notes)


@dataclass
class _Decisions:
    """What becomes of each change of the other run, whose encoder with its changes is `changed`."""

    plan: Plan
    run: Run
    theirs: Sequence[EncoderChange]
    changed: LoadedEncoder
    carried_over: dict[str, Tensor] = field(default_factory=dict)
    record: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def decide_all(self) -> None:
        """Carry over, merge or leave behind each change that has tensors of its own."""
        assert self.changed.changes is not None
        tensors = self.changed.module.state_dict()
        # The last change first: merging undoes what was applied on top.
        for number in reversed(range(len(self.theirs))):
            added = self.changed.changes.added
            names = [name for name, by in added.items() if by == number and name in tensors]
            if names:  # freezing, for one, adds nothing
                self._decide(number, {name: tensors[name] for name in names})

    def _decide(self, number: int, tensors: Mapping[str, Tensor]) -> None:
        assert self.changed.changes is not None
        name, change = self.run.manifest.encoder.changes[number].use, self.theirs[number]
        # The task that a tensor belongs to; None for what all tasks share.
        owners = {tensor: self.changed.changes.own.get(tensor) for tensor in tensors}
        uses = [use.use for use in self.plan.manifest.encoder.changes]
        ours = self.plan.changes[uses.index(name)] if name in uses else None
        if ours is not None and options_of(ours) == options_of(change):
            self._carry_over(name, tensors, owners)
            return
        fresh = ""
        if ours is not None:
            fresh = f"; this run's '{name}' has other options and begins fresh"
        if change.merge(self.changed.module):
            self.record[name] = "merged"
            self.notes.append(f"that run's '{name}' is merged into the encoder's weights{fresh}")
        elif None not in owners.values():
            self.record[name] = "left behind"
            tasks = ", ".join(dict.fromkeys(str(owner) for owner in owners.values()))
            self.notes.append(
                f"that run's '{name}' is left behind, as it belongs to single tasks ({tasks}): "
                f"only what they share is taken over{fresh}; `[[encoder.changes]]` as in that run "
                "would keep it"
            )
        else:
            raise self._refusal(name, change, ours)

    def _carry_over(
        self, name: str, tensors: Mapping[str, Tensor], owners: Mapping[str, str | None]
    ) -> None:
        """Take over what all tasks share, and what belongs to a task that this run has too."""
        ours = set(self.plan.tasks)
        carried = [name for name in tensors if owners[name] is None or owners[name] in ours]
        self.carried_over |= {name: tensors[name] for name in carried}
        self.record[name] = "carried over"
        theirs = dict.fromkeys(owner for owner in owners.values() if owner is not None)
        if not theirs:
            self.notes.append(f"that run's '{name}' is carried over")
            return
        tasks_by_fate = {
            "carried over for": [task for task in theirs if task in ours],
            "left behind for": [task for task in theirs if task not in ours],
            "fresh for": [task for task in self.plan.tasks if task not in theirs],
        }
        parts = [f"{fate} {', '.join(tasks)}" for fate, tasks in tasks_by_fate.items() if tasks]
        self.notes.append(f"that run's '{name}' is {'; '.join(parts)}")

    def _refusal(self, name: str, change: EncoderChange, ours: EncoderChange | None) -> EmomtlError:
        present = "this run has no such change"
        if ours is not None:
            present = f"this run's has the options {options_of(ours)}"
        finding = (
            f"that run's encoder was trained with '{name}' and the options {options_of(change)}, "
            f"{present}, and what all tasks share of it cannot be merged into the encoder's weights"
        )
        remedy = (
            "list it in [[encoder.changes]] with the same options, or start from a run without it"
        )
        return EmomtlError(Problem("start.run", finding, remedy))


def load_carried_over(encoder: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load what changes had learned in another run into an encoder with the same changes."""
    own = encoder.state_dict()
    for name, value in tensors.items():
        shape = tuple(own[name].shape) if name in own else "missing"
        if shape != tuple(value.shape):
            finding = (
                f"'{name}' of that run's encoder is {tuple(value.shape)}, and {shape} in this run's"
            )
            remedy = "do the two runs use one version of the plugin?"
            raise EmomtlError(Problem("start.run", finding, remedy))
    encoder.load_state_dict(dict(tensors), strict=False)


def _changes_of_other_run(plan: Plan, run: Run) -> tuple[EncoderChange, ...]:
    """The changes of the other run's encoder; an error in them is one of `start.run`."""
    try:
        return changes_of(run.manifest, plan.plugins, run.folder)
    except EmomtlError as error:
        problems = []
        for problem in error.problems:
            finding = f"that run's {problem.place}: {problem.found}"
            problems.append(replace(problem, place="start.run", found=finding, line=None))
        raise EmomtlError(*problems) from error


def _check_tensors_are_the_same(pretrained: Mapping[str, Tensor], changed: nn.Module) -> None:
    """EmomtlError where a change put another tensor into the place of a pretrained one."""
    present = {id(tensor) for tensor in changed.state_dict(keep_vars=True).values()}
    for name, tensor in pretrained.items():
        if id(tensor) not in present:
            finding = (
                f"a change of that run's encoder replaces its '{name}', so that cannot be told "
                "from what was added"
            )
            raise EmomtlError(Problem("start.run", finding, "start from a run without that change"))


def _load(module: nn.Module, weights: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    """Load all weights of the encoder; EmomtlError where they differ in name or shape.

    A pooler that this run does not use is left out.
    """
    known = module.state_dict()
    used = [name for name in weights if name in known or not name.startswith("pooler.")]
    try:
        module.load_state_dict({name: weights[name] for name in used})
    except RuntimeError as error:
        finding = f"{checkpoint.path} does not fit this encoder: {first_line(error)}"
        remedy = "`encoder.pooling` and whatever changes the encoder must be as in that run"
        raise EmomtlError(Problem("start.run", finding, remedy)) from error


def first_line(error: RuntimeError) -> str:
    """The first mismatch that torch lists; its very first line only names the module."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return (lines[1] if len(lines) > 1 else lines[0])[:200]
