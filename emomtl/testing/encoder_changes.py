"""The check for changes of the encoder."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.encoder_change import EncoderChange
from emomtl.contracts.sampler import Moment
from emomtl.testing.findings import Findings
from emomtl.testing.tiny_encoder import tiny_encoder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emomtl.model.encoder_changes import AppliedChanges

TASKS = ("emotions", "mood", "arousal", "values")
"""The tasks of the run. The last has the name of a method of ModuleDict (see `modules_by_name`)."""

SEED = 5

MOMENTS = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Points of progress at which a schedule is asked, forwards and backwards."""

SEEDED = "draw inside `with switch.seeded(...)`"


def check_change(change: EncoderChange, folder: Path | None = None) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of a change and that does not
    hold.

    It is applied to a tiny BERT (`folder` may hold another encoder of transformers) for four tasks,
    one of them called `values`, twice: the same parameters must come out under the same names, with
    the same values, and torch's own random numbers must be left alone. The encoder must still give
    one finite vector a token. It may compute differently for different tasks only where `per_task`
    says so; what is a task's own must be in the encoder, belong to one task, and get no gradient
    from another task's texts. A schedule must give the same result at a moment, whatever moments
    came before. Where `merge` returns True, the encoder without the change must compute what it did
    with it.
    """
    findings = Findings(f"change {type(change).__name__}")
    findings.options(change)
    with findings.trying("check() with four tasks and no other change"):
        change.check(TASKS, ())
    with tempfile.TemporaryDirectory(prefix="emomtl-check-") as temporary:
        if folder is None:
            folder = tiny_encoder(Path(temporary))
        with findings.trying("apply()"):
            encoder, applied = _applied(change, folder, findings)
            if not findings.problems:
                _check_again(change, folder, findings, encoder)
                _check_vectors(change, findings, encoder, applied)
                _check_schedule(findings, encoder, applied)
                _check_merge(change, folder, findings)
    findings.done()


def _applied(
    change: EncoderChange, folder: Path, findings: Findings
) -> tuple[nn.Module, AppliedChanges]:
    """A fresh encoder with the change in it; torch's generator must stay as it was."""
    import torch

    from emomtl.model.encoder_changes import AppliedChanges

    encoder = _encoder(folder)
    before = torch.get_rng_state()
    applied = AppliedChanges.of(encoder, (change,), TASKS, seed=SEED)
    same = torch.equal(before, torch.get_rng_state())
    findings.expect(same, "apply() moves on torch's random numbers", SEEDED)
    return encoder, applied


def _encoder(folder: Path) -> nn.Module:
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    encoder: nn.Module = AutoModel.from_pretrained(folder, trust_remote_code=False)
    return encoder


def _check_again(
    change: EncoderChange, folder: Path, findings: Findings, encoder: nn.Module
) -> None:
    """Apply it anew, as when a run is opened: everything must be as it was the first time."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(77)
        again, _ = _applied(change, folder, findings)
    first, second = encoder.state_dict(), again.state_dict()
    problem = "apply() gives other parameters the second time"
    if findings.expect(list(first) == list(second), problem, "name them by task and layer alone"):
        differ = [name for name, value in first.items() if not torch.equal(value, second[name])]
        findings.expect(not differ, f"{differ[:3]} differ the second time", SEEDED)


def _check_vectors(
    change: EncoderChange, findings: Findings, encoder: nn.Module, applied: AppliedChanges
) -> None:
    """Check shapes and finiteness, and what depends on the task."""
    import torch

    encoder.eval()
    strangers = set(applied.own.values()) - set(TASKS)
    problem = f"parameters of {sorted(strangers)}, which are no tasks"
    findings.expect(not strangers, problem, f"the tasks are {list(TASKS)}")
    problem = "parameters of one task alone, but per_task is False"
    findings.expect(change.per_task or not applied.own, problem, "let per_task say True")
    vectors = {task: _encode(encoder, applied, task) for task in TASKS}
    width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
    for task, states in vectors.items():
        problem = f"the encoder answers '{task}' with {tuple(states.shape)}"
        valid = states.shape == (2, 12, width) and bool(torch.isfinite(states).all())
        findings.expect(valid, problem, f"finite numbers, (2, 12, {width})")
    if not change.per_task:
        differ = [task for task in TASKS if not torch.equal(vectors[task], vectors[TASKS[0]])]
        problem = f"the answer depends on the task ({differ})"
        findings.expect(not differ, problem, "let per_task say True")
        return
    for task, states in vectors.items():
        encoder.zero_grad(set_to_none=True)
        if states.requires_grad:
            states.square().sum().backward()  # type: ignore[no-untyped-call]
        wrong = []
        for name, parameter in encoder.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.any())
            if reached and applied.own.get(name, task) != task:
                wrong.append(name)
        problem = f"texts of '{task}' give a gradient to {sorted(wrong)[:3]} of other tasks"
        findings.expect(not wrong, problem, "read switch.active")


def _check_merge(change: EncoderChange, folder: Path, findings: Findings) -> None:
    """Check that after `merge` the pretrained encoder computes what the changed one did."""
    import torch

    from emomtl.model.encoder_changes import AppliedChanges

    plain, encoder = _encoder(folder).eval(), _encoder(folder).eval()
    pretrained = encoder.state_dict(keep_vars=True)
    applied = AppliedChanges.of(encoder, (change,), TASKS, seed=SEED)
    tensors = encoder.state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(78)
        # Parts that start without effect, such as LoRA's B = 0, would hide a merge that does
        # nothing.
        for name in applied.added:
            if name in tensors and tensors[name].is_floating_point():
                tensors[name].add_(torch.randn_like(tensors[name]), alpha=0.05)
    before = [_encode(encoder, applied, task).detach() for task in TASKS]
    if not change.merge(encoder):
        return
    plain.load_state_dict({name: tensor.detach() for name, tensor in pretrained.items()})
    merged = _encode(plain, applied, TASKS[0]).detach()
    same = all(torch.allclose(merged, states, atol=1e-4) for states in before)
    problem = "merge() says True, and the encoder answers otherwise without the change"
    findings.expect(same, problem, "let it return False")


def _encode(encoder: Any, applied: AppliedChanges, task: str) -> Tensor:
    """The token states (2, 12, W) of two texts for a task; the second has padding."""
    import torch

    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, 7:] = 0
    with applied.switch.using(task):
        output = encoder(input_ids=torch.arange(8, 32).view(2, 12), attention_mask=mask)
        states: Tensor = output.last_hidden_state
        return states


def _check_schedule(findings: Findings, encoder: nn.Module, applied: AppliedChanges) -> None:
    """Check that what is trainable at a moment does not depend on the moments before it."""

    def trainable_at(points: Sequence[float]) -> dict[float, list[str]]:
        trainable = {}
        sizes = dict.fromkeys(TASKS, 100)
        for progress in points:
            step, epoch = round(progress * 100), min(9, int(progress * 10))
            applied.at(Moment(step, progress, epoch, 10, sizes, seed=SEED))
            trainable[progress] = [n for n, p in encoder.named_parameters() if p.requires_grad]
        return trainable

    same = trainable_at(MOMENTS) == trainable_at(MOMENTS[::-1])
    problem = "what at() opens depends on the moments before"
    findings.expect(same, problem, "set requires_grad of all its parameters from the moment alone")
