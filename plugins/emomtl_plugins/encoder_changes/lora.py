"""`lora`: low-rank updates of the encoder's matrices, one set for all tasks or one for each."""

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

SUFFIX = ":"
"""Ends the name of an adapter that cannot have the name of its task; no task's name has it."""

SHARED = "shared"
"""The name of the adapter that all tasks use."""


@dataclass(frozen=True)
class LowRank(EncoderChange):
    """W x + (alpha / r) B A x in the linear layers named in `targets`.

    Hu et al. (2021), arXiv:2106.09685; computed by peft. A (r, in) starts from random values, B
    (out, r) from 0. Only A, B and the heads learn, or also the pretrained encoder with
    `train_encoder`. With `per_task_adapters` each task has its own A and B, in an encoder that
    stays shared. `r` is the rank, `alpha` the scale, and `dropout` applies to the adapter's input.
    `targets` are the last parts of module names: "query" and "value" as in the paper, which BERT,
    RoBERTa and ELECTRA have; "Wqkv" in ModernBERT, "query_proj" and "value_proj" in DeBERTa.
    Checkpoints hold adapters beside the encoder; a run that starts from this one without LoRA has
    them merged.
    """

    r: Annotated[int, Gt(0)] = 8
    alpha: Annotated[int, Gt(0)] = 16
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1
    targets: tuple[str, ...] = ("query", "value")
    per_task_adapters: bool = False
    train_encoder: bool = False

    @property
    def per_task(self) -> bool:
        return self.per_task_adapters

    def check(self, tasks: Sequence[str], others: Sequence[EncoderChange]) -> None:
        if find_spec("peft") is None:
            remedy = 'pip install "emomtl[peft]"'
            raise EmomtlError("LoRA needs the Python package 'peft'", remedy=remedy)
        if not self.targets:
            raise EmomtlError(
                "no layer is named", place="targets", remedy='such as ["query", "value"]'
            )

    def apply(
        self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch
    ) -> Applied:
        """Put adapters around the linear layers.

        Parameters that were frozen stay frozen, and what other changes added stays trainable.
        """
        from peft import LoraConfig, inject_adapter_in_model

        model: Any = encoder  # peft's annotation asks for a transformers model
        targets = self._targets(encoder, pretrained)
        flags_before = [(parameter, parameter.requires_grad) for parameter in encoder.parameters()]
        adapters = [SHARED]
        if self.per_task_adapters:
            adapters = [_adapter_name(task) for task in switch.tasks]
        for adapter in adapters:
            config = LoraConfig(
                r=self.r, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=targets
            )
            with switch.seeded("lora", adapter.removesuffix(SUFFIX)), warnings.catch_warnings():
                # peft warns of the second adapter in one encoder, which is intended here
                warnings.filterwarnings("ignore", message="Already found a `peft_config`")
                inject_adapter_in_model(config, model, adapter_name=adapter)
        # peft freezes everything but the last adapter, so set all flags anew.
        pretrained_ids = {id(parameter) for parameter in pretrained}
        for parameter, was_trainable in flags_before:
            learns = self.train_encoder or id(parameter) not in pretrained_ids
            parameter.requires_grad_(was_trainable and learns)
        for adapter in adapters:
            for parameter in _parameters(encoder, adapter):
                parameter.requires_grad_(True)
        if not self.per_task_adapters:
            return Applied()
        encoder.register_forward_pre_hook(
            lambda *_: _activate(encoder, _adapter_name(switch.active))
        )
        return Applied({task: _parameters(encoder, _adapter_name(task)) for task in switch.tasks})

    def merge(self, encoder: nn.Module) -> bool:
        """Replace W by W + (alpha / r) B A (Hu et al., section 4.1) where all tasks share it."""
        if self.per_task_adapters:
            return False
        for layer in _lora_layers(encoder):
            layer.merge(adapter_names=[SHARED])
        return True

    def _targets(self, encoder: nn.Module, pretrained: Sequence[nn.Parameter]) -> list[str]:
        """The full names of the pretrained linear layers that get an adapter, at least one."""
        from torch import nn

        pretrained_ids = {id(parameter) for parameter in pretrained}
        linear_names = []
        for name, module in encoder.named_modules():
            if isinstance(module, nn.Linear) and id(module.weight) in pretrained_ids:
                linear_names.append(name)
        targets = [name for name in linear_names if name.rpartition(".")[2] in self.targets]
        if not targets:
            known = sorted({name.rpartition(".")[2] for name in linear_names})
            problem = f"no linear layer is called {', '.join(self.targets)}"
            remedy = f"this encoder's are {', '.join(known)}"
            raise EmomtlError(problem, place="targets", remedy=remedy)
        return targets


def _adapter_name(task: str) -> str:
    """The name of a task's adapter: the task's, unless it is one of ModuleDict's own attributes.

    peft keeps adapters in ModuleDicts, which refuse a key such as `values` or `train`.
    """
    from torch import nn

    return f"{task}{SUFFIX}" if hasattr(nn.ModuleDict(), task) else task


def _lora_layers(encoder: nn.Module) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [module for module in encoder.modules() if isinstance(module, LoraLayer)]


def _parameters(encoder: nn.Module, adapter: str) -> list[nn.Parameter]:
    """The parameters A and B of one adapter in all layers."""
    parameters: list[nn.Parameter] = []
    for layer in _lora_layers(encoder):
        parameters += layer.lora_A[adapter].parameters()
        parameters += layer.lora_B[adapter].parameters()
    return parameters


def _activate(encoder: nn.Module, adapter: str) -> None:
    """Let one adapter compute.

    peft also freezes the others, which would lose the gradients of a task that was encoded earlier
    in the step. So each parameter gets back the `requires_grad` that it had.
    """
    for layer in _lora_layers(encoder):
        if layer.active_adapters != [adapter]:
            flags = [(parameter, parameter.requires_grad) for parameter in layer.parameters()]
            layer.set_adapter([adapter])
            for parameter, flag in flags:
                parameter.requires_grad_(flag)


@hookimpl
def emomtl_encoder_changes() -> dict[str, type[EncoderChange]]:
    return {"lora": LowRank}
