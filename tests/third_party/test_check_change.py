"""`check_change` passes what is right, and says everything that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from emomtl import Applied, EncoderChange, Moment, TaskSwitch
from emomtl.testing import check_change


@dataclass(frozen=True)
class Gate(EncoderChange):
    """A factor for each token vector, one number a task or one for all."""

    own: bool = True
    says: bool = True
    drawn: bool = True
    confused: bool = False

    @property
    def per_task(self) -> bool:
        return self.says

    def apply(
        self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch
    ) -> Applied:
        gates = nn.ParameterDict()
        for task in switch.tasks:
            if self.drawn:
                with switch.seeded(task):
                    gates[f"of_{task}"] = nn.Parameter(1 + torch.rand(1))
            else:
                gates[f"of_{task}"] = nn.Parameter(1 + torch.rand(1))
        encoder.gates = gates

        def after(module: nn.Module, args: Any, output: Any) -> Any:
            task = switch.tasks[-1] if self.confused else switch.active
            output.last_hidden_state = output.last_hidden_state * gates[f"of_{task}"]
            return output

        encoder.register_forward_hook(after)
        return Applied({task: [gates[f"of_{task}"]] for task in switch.tasks} if self.own else {})


def test_a_gate_for_each_task_passes(complaint: Any) -> None:
    assert complaint(check_change, Gate()) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            Gate(drawn=False),
            "apply() moves on torch's random numbers (draw inside `with switch.seeded(...)`)",
        ),
        (Gate(says=False), "parameters of one task alone, but per_task is False"),
        (
            Gate(own=False, says=False),
            (
                "the answer depends on the task (['mood', 'arousal', 'values']) (let per_task say"
                " True)"
            ),
        ),
        (
            Gate(confused=True),
            "texts of 'emotions' give a gradient to ['gates.of_values'] of other tasks",
        ),
    ],
)
def test_a_broken_gate_is_found(change: EncoderChange, message: str, found: Any) -> None:
    assert message in found(check_change, change)


def test_a_schedule_that_only_opens_is_found(found: Any) -> None:
    @dataclass(frozen=True)
    class Opening(EncoderChange):
        def apply(
            self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch
        ) -> Applied:
            encoder.requires_grad_(False)

            def at(moment: Moment) -> None:
                if moment.progress >= 0.5:
                    encoder.requires_grad_(True)

            return Applied(at=at)

    assert "what at() opens depends on the moments before" in found(check_change, Opening())
