"""Weights that are cut among the processes of a run: FSDP as torch has it (`fully_shard`), and the ways to see them whole.

A tensor is *cut* where each process holds a part of it (a DTensor of torch). Of an encoder, weights, gradients and the
optimiser's moments are; heads and what weightings learn are small, and whole in every process. Zhao et al. (2023), PyTorch FSDP.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor, nn

from emomtl.encoding import encoder_layers
from emomtl.errors import EmomtlError, Problem
from emomtl.model.ranks import Ranks, together

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def cut(encoder: nn.Module, device: str, ranks: Ranks) -> None:
    """Cut an encoder's weights, which are the same in all processes, layer by layer: a pass gathers one layer at a time.

    Its parameters are other objects then. EmomtlError where this torch cannot.
    """
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
    except ImportError as error:
        raise EmomtlError(Problem("processes", "this torch has no `fully_shard`", "install torch 2.6 or later")) from error
    with together():
        mesh = init_device_mesh(device, (ranks.size,))
        with suppress(EmomtlError):  # an encoder that lists no layers is cut as a whole
            for layer in encoder_layers(encoder):
                fully_shard(layer, mesh=mesh)
        fully_shard(encoder, mesh=mesh)


def is_cut(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether other processes hold other parts of it; torch's module for that is loaded by whoever cuts."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, in host memory where it was cut. Every process has to ask."""
    if not is_cut(tensor):
        return tensor
    with together():
        return tensor.full_tensor().cpu()


def as_cut(tensor: Tensor, other: Tensor) -> Tensor:
    """This process's part of a whole tensor, cut as another one is; nothing is sent, as every process has the whole."""
    if not is_cut(other):
        return tensor.to(other.device)
    from torch.distributed.tensor import distribute_tensor

    there = other.to_local().device
    return distribute_tensor(tensor.to(there), other.device_mesh, other.placements, src_data_rank=None)


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all gradients, of cut ones over all processes."""
    parts = [one.to_local() for one in gradients if is_cut(one)]
    rest = torch.nn.utils.get_total_norm([one for one in gradients if not is_cut(one)])
    if not parts:
        return rest
    from torch.distributed import all_reduce

    squares = torch.nn.utils.get_total_norm(parts).square()
    with together():
        all_reduce(squares)
    return (squares + rest.square()).sqrt()


def divide(gradients: Sequence[Tensor], by: Tensor) -> None:
    """Divide gradients in place, of cut ones this process's parts."""
    torch._foreach_div_([one.to_local() if is_cut(one) else one for one in gradients], by)
