"""The gradients of several processes, averaged in buckets during the backward pass."""

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

BUCKET_BYTES = 25 * 2**20
"""Large enough that latency does not count, small enough that the first bucket is sent early; the
default of DistributedDataParallel (Li et al. 2020, arXiv:2006.15704)."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class _SentBucket:
    """Tensors, their values in one flat tensor, and the handle that tells when these are sums."""

    tensors: list[Tensor]
    flat: Tensor
    work: Any


class Reduction:
    """Averages gradients and losses of a step over the processes, and shares a request to stop.

    Gradients of the `early` parameters, those of the encoder, are sent bucket by bucket within the
    backward pass: from the last layer down, in an order that is the same in all processes, if the
    step before had a gradient of them. The others, such as those of heads, which a step may not
    use, follow after it. Which parameters have a gradient is the same everywhere, as all processes
    draw the same tasks.

    `stop_signal` is the number of a signal that any process has received, the same in all.
    """

    def __init__(self, ranks: Ranks, early: Sequence[nn.Parameter]) -> None:
        self.ranks = ranks
        self.signals: Signals | None = None
        self.stop_signal: int | None = None
        self.bytes_sent = 0
        self._early = list(reversed(early))
        self._used = {id(parameter) for parameter in self._early}
        self._hooked: set[int] = set()
        self._buckets: list[list[nn.Parameter]] = []
        self._missing: list[int] = []  # gradients that each bucket still waits for
        self._bucket_of: dict[int, int] = {}
        self._sent: list[_SentBucket] = []

    @contextmanager
    def last_pass(self, plain: bool) -> Iterator[None]:
        """Send gradients during the last backward pass of a step, which is inside.

        Only where it is `plain`: other weightings change gradients until they have finished.
        """
        if plain:
            used = [p for p in self._early if p.requires_grad and id(p) in self._used]
            self._buckets = list(_in_buckets(used))
            for number, bucket in enumerate(self._buckets):
                for parameter in bucket:
                    self._bucket_of[id(parameter)] = number
                    self._hook(parameter)
            self._missing = [len(bucket) for bucket in self._buckets]
        yield
        self._bucket_of = {}

    def _hook(self, parameter: nn.Parameter) -> None:
        if id(parameter) not in self._hooked:
            # torch does not type the method
            parameter.register_post_accumulate_grad_hook(self._count)  # type: ignore[no-untyped-call]
            self._hooked.add(id(parameter))

    def _count(self, parameter: Tensor) -> None:
        """Count a gradient that is complete; send buckets that are full, in their order."""
        number = self._bucket_of.get(id(parameter))
        if number is None:
            return
        self._missing[number] -= 1
        # A bucket waits for those before it: collectives have to come in one order everywhere.
        while len(self._sent) < len(self._buckets) and self._missing[len(self._sent)] == 0:
            bucket = self._buckets[len(self._sent)]
            self._send([p.grad for p in bucket if p.grad is not None])

    def finish(
        self, parameters: Sequence[Tensor], kept: Sequence[Tensor], losses: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Average all gradients that are not sent yet, the `kept` ones of a weighting, and losses.

        Returns the mean losses; gradients and `kept` are changed in place.
        """
        sent = {id(p) for bucket in self._buckets[: len(self._sent)] for p in bucket}
        others = [p.grad for p in parameters if p.grad is not None and id(p) not in sent]
        received = None if self.signals is None else self.signals.received
        values = torch.stack([loss.float() for loss in losses.values()])
        flags = [float(received == number) for number in STOP_SIGNALS]
        stop_flags = torch.tensor(flags, device=values.device)
        self._used = {id(p) for p in self._early if p.grad is not None}
        for tensors in _in_buckets([*others, *kept, values, stop_flags]):
            self._send(tensors)
        for bucket_sent in self._sent:
            self._receive(bucket_sent)
        self._sent, self._buckets = [], []
        flags = stop_flags.tolist()
        asked = [int(number) for number, flag in zip(STOP_SIGNALS, flags, strict=True) if flag > 0]
        self.stop_signal = asked[0] if asked else None
        return dict(zip(losses, values.unbind(), strict=True))

    def _send(self, tensors: list[Tensor]) -> None:
        from torch.distributed import all_reduce

        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        self.bytes_sent += flat.numel() * flat.element_size()
        with collective():
            work = all_reduce(flat, async_op=True)
        self._sent.append(_SentBucket(tensors, flat, work))

    def _receive(self, bucket: _SentBucket) -> None:
        with collective():
            bucket.work.wait()
        bucket.flat.div_(self.ranks.world_size)
        pieces = torch.split(bucket.flat, [tensor.numel() for tensor in bucket.tensors])
        means = [p.view_as(t) for p, t in zip(pieces, bucket.tensors, strict=True)]
        torch._foreach_copy_(bucket.tensors, means)


def gather_part(
    ranks: Ranks,
    part: Part,
    pooled: Mapping[str, Tensor],
    logits: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    pooled_tasks: Collection[str],
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Pooled vectors, logits and targets of all texts of a part, from those of each process.

    Pooled vectors only of `pooled_tasks`.
    """
    all_pooled, all_logits, all_targets = {}, {}, {}
    for task, values in logits.items():
        all_logits[task] = ranks.all_gather(values.float(), part.number(task))
    for task, values in pooled.items():
        if task in pooled_tasks:
            all_pooled[task] = ranks.all_gather(values.float(), part.number(task))
    for task, values in targets.items():
        if part.tokens:  # a process's own part may have shorter texts than the longest of all
            missing = part.width - values.shape[1]
            values = functional.pad(values, (0, missing), value=MISSING_TOKEN)
        all_targets[task] = ranks.all_gather(values, part.number(task))
    return all_pooled, all_logits, all_targets


def _in_buckets(tensors: Sequence[Any]) -> Iterator[list[Any]]:
    """The tensors in their order, in lists of one type and of BUCKET_BYTES or little more."""
    bucket: list[Any] = []
    size = 0
    for tensor in tensors:
        full = size >= BUCKET_BYTES
        if bucket and (
            full or (tensor.dtype, tensor.device) != (bucket[0].dtype, bucket[0].device)
        ):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel() * tensor.element_size()
    if bucket:
        yield bucket
