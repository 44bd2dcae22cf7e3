"""One gradient of several processes: averaged in buckets, which leave while the backward pass still makes the others."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from emomtl.contracts.heads import MISSING_TOKEN
from emomtl.model.parallel.ranks import Ranks, collective
from emomtl.train.signals import Signals

if TYPE_CHECKING:
    from emomtl.train.draw import Part

BUCKET = 25 * 2**20
"""Bytes of a bucket: large enough that latency does not count, small enough that the first leaves early (Li et al., 2020)."""

STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass
class _Sent:
    """A bucket on its way: its tensors, their values in one piece, and what tells when they are the sums."""

    tensors: list[Tensor]
    flat: Tensor
    work: Any


class Reduction:
    """The averages of a step over the processes: gradients, and beside them the losses and whether any was asked to stop.

    Gradients of `early` parameters, those of the encoder, leave bucket by bucket within the backward
    pass, from the last layer down, in an order that is the same in all processes, where the step before
    had a gradient of them. The others, such as heads, which a step may not use, follow after it: what has
    a gradient is the same everywhere, as all draw the same tasks.
    """

    def __init__(self, ranks: Ranks, early: Sequence[nn.Parameter]) -> None:
        self.ranks = ranks
        self.signals: Signals | None = None
        self.asked: int | None = None
        self.bytes = 0
        self._early = list(reversed(early))
        self._used = {id(parameter) for parameter in self._early}
        self._hooked: set[int] = set()
        self._open: list[list[nn.Parameter]] = []
        self._missing: dict[int, int] = {}
        self._bucket_of: dict[int, int] = {}
        self._sent: list[_Sent] = []

    @contextmanager
    def last_pass(self, plain: bool) -> Iterator[None]:
        """Around a step's last backward pass; unless `plain`, a gradient is not whole before the weighting has finished."""
        if plain:
            self._open = list(_buckets([p for p in self._early if p.requires_grad and id(p) in self._used]))
            for parameter in (p for bucket in self._open for p in bucket if id(p) not in self._hooked):
                parameter.register_post_accumulate_grad_hook(self._made)  # type: ignore[no-untyped-call]  # torch types it so
                self._hooked.add(id(parameter))
            self._missing = {number: len(bucket) for number, bucket in enumerate(self._open)}
            self._bucket_of = {id(p): number for number, bucket in enumerate(self._open) for p in bucket}
        yield
        self._bucket_of = {}

    def _made(self, parameter: Tensor) -> None:
        """A gradient is whole: its bucket leaves once it is full and those before it have left."""
        number = self._bucket_of.get(id(parameter))
        if number is None:
            return
        self._missing[number] -= 1
        while (first := len(self._sent)) < len(self._open) and self._missing[first] == 0:
            self._send([p.grad for p in self._open[first] if p.grad is not None])

    def finish(self, parameters: Sequence[Tensor], kept: Sequence[Tensor], losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average what has not left yet, and give the losses as all processes know them; `asked` is then the same in all."""
        gone = {id(p) for bucket in self._open[: len(self._sent)] for p in bucket}
        rest = [p.grad for p in parameters if p.grad is not None and id(p) not in gone]
        heard = None if self.signals is None else self.signals.received
        values = torch.stack([loss.float() for loss in losses.values()])
        flags = torch.tensor([float(heard == number) for number in STOPPING], device=values.device)
        self._used = {id(p) for p in self._early if p.grad is not None}
        for bucket in _buckets([*rest, *kept, values, flags]):
            self._send(bucket)
        for one in self._sent:
            with collective():
                one.work.wait()
            one.flat.div_(self.ranks.world_size)
            pieces = torch.split(one.flat, [tensor.numel() for tensor in one.tensors])
            torch._foreach_copy_(one.tensors, [p.view_as(t) for p, t in zip(pieces, one.tensors, strict=True)])
        self._sent, self._open = [], []
        self.asked = next((int(number) for number, flag in zip(STOPPING, flags.tolist(), strict=True) if flag > 0), None)
        return dict(zip(losses, values.unbind(), strict=True))

    def _send(self, tensors: list[Tensor]) -> None:
        from torch.distributed import all_reduce

        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        self.bytes += flat.numel() * flat.element_size()
        with collective():
            work = all_reduce(flat, async_op=True)
        self._sent.append(_Sent(tensors, flat, work))


def gather(
    ranks: Ranks,
    asked: Collection[str],
    part: Part,
    pooled: Mapping[str, Tensor],
    logits: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Logits and targets of all texts of a part, from this process's; and pooled vectors of the tasks `asked` alone."""
    every = {task: ranks.all_gather(one.float(), part.number(task)) for task, one in logits.items()}
    vectors = {task: ranks.all_gather(one.float(), part.number(task)) for task, one in pooled.items() if task in asked}
    if part.tokens:
        longer = {task: part.width - one.shape[1] for task, one in targets.items()}
        targets = {task: functional.pad(one, (0, longer[task]), value=MISSING_TOKEN) for task, one in targets.items()}
    return vectors, every, {task: ranks.all_gather(one, part.number(task)) for task, one in targets.items()}


def _buckets(tensors: Sequence[Any]) -> Iterator[list[Any]]:
    """The tensors in their order, in lists of one type and of BUCKET bytes or little more."""
    bucket: list[Any] = []
    size = 0
    for tensor in tensors:
        if bucket and (size >= BUCKET or tensor.dtype != bucket[0].dtype or tensor.device != bucket[0].device):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel() * tensor.element_size()
    if bucket:
        yield bucket
