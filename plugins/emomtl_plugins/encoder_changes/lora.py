"""LoRA through peft: low-rank updates of the encoder's matrices, one set for all tasks or one for each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Lt

from emomtl import Applied, EmomtlError, EncoderChange, TaskSwitch, hookimpl

if TYPE_CHECKING:
    from torch import nn

OTHER = ":"
"""What ends the name of an adapter that cannot have its task's; no task's own name has it."""

SHARED = "shared"
"""The name of the adapter that all tasks use."""


@dataclass(frozen=True)
class LowRank(EncoderChange):
    """W x + (alpha / r) B A x for the linear layers called one of `targets`, with A (r, in) drawn and B (out, r) zero at first.

    Hu et al. (2021), arXiv:2106.09685; computed by peft. Only A, B and the heads learn, or the pretrained encoder too with
    `train_encoder`. With `per_task_adapters` each task has its own A and B, in an encoder that stays shared. `r` is the rank,
    `alpha` the scale, `dropout` falls on the adapter's input. `targets` are the last parts of module names: "query" and "value"
    as in the paper, which BERT, RoBERTa and ELECTRA have; "Wqkv" in ModernBERT, "query_proj" and "value_proj" in DeBERTa.
    Checkpoints hold adapters beside the encoder; a run that starts from this one without LoRA has them merged.
    """

    r: Annotated[int, Gt(0)] = 8
    alpha: Annotated[int, Gt(0)] = 16
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1
    targets: tuple[str, ...] = ("query", "value")
    per_task_adapters: bool = False
    train_encoder: bool = False

    @property
    def per_task(self) -> bool:
        """As the option `per_task_adapters` says."""
        return self.per_task_adapters

    def check(self, tasks: Sequence[str], others: Sequence[EncoderChange]) -> None:
        """peft must be installed, and something be named."""
        if find_spec("peft") is None:
            raise EmomtlError("LoRA needs the Python package 'peft'", remedy='pip install "emomtl[peft]"')
        if not self.targets:
            raise EmomtlError("no layer is named", place="targets", remedy='such as ["query", "value"]')

    def apply(self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch) -> Applied:
        """Let peft put adapters around the linear layers; parameters that were frozen stay so, others' additions stay open."""
        from peft import LoraConfig, inject_adapter_in_model

        targets = self._targets(encoder, pretrained)
        before = [(parameter, parameter.requires_grad) for parameter in encoder.parameters()]
        theirs = {id(parameter) for parameter in pretrained}
        names = tuple(map(_adapter, switch.tasks)) if self.per_task_adapters else (SHARED,)
        for name in names:
            settings = LoraConfig(r=self.r, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=targets)
            with switch.seeded("lora", name.removesuffix(OTHER)), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several adapters are wanted here
                inject_adapter_in_model(settings, encoder, adapter_name=name)  # type: ignore[arg-type]
        for parameter, learned in before:
            parameter.requires_grad_(learned and (self.train_encoder or id(parameter) not in theirs))
        for parameter in (parameter for name in names for parameter in _parameters(encoder, name)):
            parameter.requires_grad_(True)
        if not self.per_task_adapters:
            return Applied()
        encoder.register_forward_pre_hook(lambda *_: _activate(encoder, _adapter(switch.active)))
        return Applied({task: _parameters(encoder, _adapter(task)) for task in switch.tasks})

    def merge(self, encoder: nn.Module) -> bool:
        """W + (alpha / r) B A in place of W, as Hu et al. do for inference (section 4.1); not where each task has its own."""
        if self.per_task_adapters:
            return False
        for layer in _adapted(encoder):
            layer.merge(adapter_names=[SHARED])
        return True

    def _targets(self, encoder: nn.Module, pretrained: Sequence[nn.Parameter]) -> list[str]:
        """The full names of the pretrained linear layers that get an adapter; an error where there is none."""
        from torch import nn

        theirs = {id(parameter) for parameter in pretrained}
        linear = [
            name for name, module in encoder.named_modules() if isinstance(module, nn.Linear) and id(module.weight) in theirs
        ]
        found = [name for name in linear if name.rpartition(".")[2] in self.targets]
        if not found:
            known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
            named = ", ".join(self.targets)
            raise EmomtlError(f"no linear layer is called {named}", place="targets", remedy=f"this encoder's are {known}")
        return found


def _adapter(task: str) -> str:
    """The name of a task's adapter: the task's, unless peft's ModuleDicts refuse it, as they do their own methods' names."""
    from torch import nn

    return f"{task}{OTHER}" if hasattr(nn.ModuleDict(), task) else task


def _adapted(encoder: nn.Module) -> list[Any]:
    """peft's layers in the encoder."""
    from peft.tuners.lora import LoraLayer

    return [module for module in encoder.modules() if isinstance(module, LoraLayer)]


def _parameters(encoder: nn.Module, adapter: str) -> list[nn.Parameter]:
    """The parameters of one adapter."""
    return [p for layer in _adapted(encoder) for part in (layer.lora_A, layer.lora_B) for p in part[adapter].parameters()]


def _activate(encoder: nn.Module, adapter: str) -> None:
    """Let one adapter answer.

    peft also closes the others' parameters, which would drop the gradients of a task that was encoded earlier in the step:
    each keeps the `requires_grad` that it had.
    """
    for layer in _adapted(encoder):
        if layer.active_adapters != [adapter]:
            flags = [(parameter, parameter.requires_grad) for parameter in layer.parameters()]
            layer.set_adapter([adapter])
            for parameter, flag in flags:
                parameter.requires_grad_(flag)


@hookimpl
def emomtl_encoder_changes() -> dict[str, type[EncoderChange]]:
    """Offer `lora`."""
    return {"lora": LowRank}
