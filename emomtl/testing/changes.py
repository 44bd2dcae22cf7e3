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
"""The tasks of the run that is played; the last is named like a method of torch's ModuleDict (see `modules_by_name`)."""

MOMENTS = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Points of progress at which a schedule is asked, forwards and backwards."""


def check_change(change: EncoderChange, folder: Path | None = None) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of a change of the encoder and that does not hold.

    It is applied to a tiny BERT (`folder` may hold another encoder of transformers) for four tasks, one of them called `values`,
    twice: the same parameters must come out under the same names, with the same values, and torch's own random numbers must be
    left alone. The encoder must still give one finite vector a token. It may answer tasks differently only where `per_task`
    says so; what it calls a task's own must be in the encoder, belong to one task, and get no gradient from another task's
    texts. A schedule must give the same answer at a moment whichever way one comes to it. Where `merge` says True, the encoder
    without the change must answer as it did with it.
    """
    findings = Findings(f"change {type(change).__name__}")
    findings.options(change)
    with findings.trying("check() with four tasks and no other change"):
        change.check(TASKS, ())
    with tempfile.TemporaryDirectory(prefix="emomtl-check-") as aside:
        where = folder if folder is not None else tiny_encoder(Path(aside))
        with findings.trying("apply()"):
            encoder, applied = _applied(change, where, findings)
            if not findings.problems:
                _check_again(change, where, findings, encoder)
                _check_answers(change, findings, encoder, applied)
                _check_schedule(findings, encoder, applied)
                _check_merge(change, where, findings)
    findings.done()


def _applied(change: EncoderChange, folder: Path, findings: Findings) -> tuple[nn.Module, AppliedChanges]:
    """A fresh encoder with the change in it; other seeds of torch must make no difference, and be left as they were."""
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    from emomtl.model.encoder_changes import AppliedChanges

    logging.disable_progress_bar()
    encoder: nn.Module = AutoModel.from_pretrained(folder, trust_remote_code=False)
    before = torch.get_rng_state()
    applied = AppliedChanges.of(encoder, (change,), TASKS, seed=5)
    same = torch.equal(before, torch.get_rng_state())
    findings.expect(same, "apply() moves on torch's random numbers", "draw inside `with switch.seeded(...)`")
    return encoder, applied


def _check_again(change: EncoderChange, folder: Path, findings: Findings, encoder: nn.Module) -> None:
    """Applied anew, as when a run is opened, everything is as it was the first time."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(77)
        again, _ = _applied(change, folder, findings)
    first, second = encoder.state_dict(), again.state_dict()
    if findings.expect(
        list(first) == list(second), "apply() gives other parameters the second time", "name them by task and layer alone"
    ):
        differ = [name for name, value in first.items() if not torch.equal(value, second[name])]
        findings.expect(not differ, f"{differ[:3]} differ the second time", "draw inside `with switch.seeded(...)`")


def _check_answers(change: EncoderChange, findings: Findings, encoder: nn.Module, applied: AppliedChanges) -> None:
    """Shapes, finiteness, and what depends on the task."""
    import torch

    encoder.eval()
    strangers = set(applied.own.values()) - set(TASKS)
    findings.expect(not strangers, f"parameters of {sorted(strangers)}, which are no tasks", f"the tasks are {list(TASKS)}")
    said = "parameters of one task alone, but per_task is False"
    findings.expect(change.per_task or not applied.own, said, "let per_task say True")
    inputs = {"input_ids": torch.arange(8, 32).view(2, 12), "attention_mask": torch.ones(2, 12, dtype=torch.long)}
    inputs["attention_mask"][1, 7:] = 0
    answers = {task: _answer(encoder, applied, inputs, task) for task in TASKS}
    width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
    for task, answer in answers.items():
        fine = answer.shape == (2, 12, width) and bool(torch.isfinite(answer).all())
        findings.expect(fine, f"the encoder answers '{task}' with {tuple(answer.shape)}", f"finite numbers, (2, 12, {width})")
    if not change.per_task:
        differ = [task for task in TASKS if not torch.equal(answers[task], answers[TASKS[0]])]
        findings.expect(not differ, f"the answer depends on the task ({differ})", "let per_task say True")
        return
    for task, answer in answers.items():
        encoder.zero_grad(set_to_none=True)
        if answer.requires_grad:
            answer.square().sum().backward()  # type: ignore[no-untyped-call]
        reached = {name for name, p in encoder.named_parameters() if p.grad is not None and bool(p.grad.any())}
        wrong = sorted(name for name in reached if applied.own.get(name, task) != task)
        findings.expect(not wrong, f"texts of '{task}' give a gradient to {wrong[:3]} of other tasks", "read switch.active")


def _check_merge(change: EncoderChange, folder: Path, findings: Findings) -> None:
    """Where merge() says that it did, the pretrained encoder with its new values answers as the changed one."""
    import torch
    from transformers import AutoModel

    from emomtl.model.encoder_changes import AppliedChanges

    plain, encoder = (AutoModel.from_pretrained(folder, trust_remote_code=False).eval() for _ in range(2))
    pretrained = encoder.state_dict(keep_vars=True)
    applied = AppliedChanges.of(encoder, (change,), TASKS, seed=5)
    tensors = encoder.state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(78)
        for name in applied.added:  # what was added may begin as if it was not there
            if name in tensors and tensors[name].is_floating_point():
                tensors[name].add_(torch.randn_like(tensors[name]), alpha=0.05)
    inputs = {"input_ids": torch.arange(8, 32).view(2, 12), "attention_mask": torch.ones(2, 12, dtype=torch.long)}
    wanted = [_answer(encoder, applied, inputs, task).detach() for task in TASKS]
    if not change.merge(encoder):
        return
    plain.load_state_dict({name: tensor.detach() for name, tensor in pretrained.items()})
    found = _answer(plain, applied, inputs, TASKS[0]).detach()
    same = all(torch.allclose(found, one, atol=1e-4) for one in wanted)
    findings.expect(same, "merge() says True, and the encoder answers otherwise without the change", "let it return False")


def _answer(encoder: Any, applied: AppliedChanges, inputs: dict[str, Any], task: str) -> Tensor:
    """The vectors for a task, (2, T, W)."""
    with applied.switch.using(task):
        found: Tensor = encoder(**inputs).last_hidden_state
        return found


def _check_schedule(findings: Findings, encoder: nn.Module, applied: AppliedChanges) -> None:
    """What is open at a moment does not depend on the moments before it."""

    def flags(points: Sequence[float]) -> dict[float, list[str]]:
        found = {}
        for progress in points:
            epoch = min(9, int(progress * 10))
            applied.at(Moment(round(progress * 100), progress, epoch, 10, dict.fromkeys(TASKS, 100), seed=5))
            found[progress] = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
        return found

    forwards = flags(MOMENTS)
    said = "what at() opens depends on the moments before"
    findings.expect(forwards == flags(MOMENTS[::-1]), said, "set requires_grad of all its parameters from the moment alone")
