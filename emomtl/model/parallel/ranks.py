"""The processes of one training, seen from one of them: its rank, its rows, its communication.

With one process every method returns what it was given, and torch.distributed is not imported.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.seeds import torch_seed

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

Value = TypeVar("Value")

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for others of which none is seen to have ended: a silent network."""

ENGINES = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}
"""Engines that split a model, by the variable with which `accelerate launch` asks for one."""

LAST_WORDS = 5.0
"""Seconds that the process which keeps the store waits for others that end by the same error."""


class ProcessLost(EmomtlError):
    """Another process of the run has ended, so this one cannot go on."""


class SilentExit(SystemExit):
    """This process ends with the code of its error, whose message another process prints."""


@dataclass(frozen=True)
class Ranks:
    """Process `rank` of `world_size`, number `local_rank` on its machine, as torchrun has them."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    @property
    def key(self) -> tuple[int, ...]:
        """What ends the key of random numbers that are this process's own.

        Empty for the first, so that it draws what a single process draws.
        """
        return (self.rank,) if self.rank else ()

    def check(self, wanted: int | None) -> None:
        """Refuse another number of processes than the manifest asks for."""
        if wanted is not None and wanted != self.world_size:
            finding = f"the manifest asks for {wanted} process(es), and {self.world_size} run"
            remedy = f"`torchrun --nproc-per-node {wanted} -m emomtl train ...`"
            remedy += f", or --set devices={self.world_size}"
            raise EmomtlError(Problem("devices", finding, remedy))

    def local_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part of some rows: every `world_size`-th, and at least one.

        Where there is none for it, it gets the first, which `all_gather` leaves out.
        """
        return rows[self.rank :: self.world_size] if self.rank < len(rows) else rows[:1]

    def local_count(self, n: int) -> int:
        """How many of this process's rows are among the first n of all, and at least one."""
        return max(1, -(-(n - self.rank) // self.world_size))

    def all_gather(self, own: Tensor, n: int) -> Tensor:
        """The values of all n rows (n, ...) in order, from each process's part of them, (b, ...).

        The gradient of `own` is its part of the gradient of all rows, times `world_size`. So what
        every process computes alike from all rows has right gradients once those of all parameters
        are averaged: of parameters before the gathering (each process has a part of the sum) and of
        those after it (the same everywhere).
        """
        if self.world_size == 1:
            return own
        # torch does not type Function.apply
        return _Gathered.apply(own, n, self)  # type: ignore[no-any-return, no-untyped-call]

    def broadcast_object(self, value: Value) -> Value:
        """The first process's value, in all of them: numbers, names, scores."""
        if self.world_size == 1:
            return value
        from torch.distributed import broadcast_object_list

        values = [value]
        with collective():
            broadcast_object_list(values, src=0)
        return values[0]

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's values into the tensors of all."""
        if self.world_size > 1:
            from torch.distributed import broadcast

            with collective(), torch.no_grad():
                for tensor in tensors:
                    broadcast(tensor.data, src=0)

    def reduce(self, array: NDArray[Any]) -> NDArray[Any]:
        """The sum of an array over all processes, in the first; in the others anything.

        It is exact where all but one are 0.
        """
        if self.world_size == 1:
            return array
        from torch.distributed import reduce

        with collective():
            reduce(torch.from_numpy(array), dst=0)
        return array

    def barrier(self) -> None:
        """Wait until every process has come here."""
        if self.world_size > 1:
            from torch.distributed import all_reduce

            with collective():
                all_reduce(torch.zeros(1))

    @contextmanager
    def local_main_first(self) -> Iterator[None]:
        """On each machine the first process runs the block, then the others, who use its cache."""
        if self.local_rank:
            self.barrier()
        yield
        if not self.local_rank:
            self.barrier()

    def alike(self, *key: int | str) -> AbstractContextManager[Any]:
        """Inside, torch draws the same numbers in all processes; a single one draws on."""
        return nullcontext() if self.world_size == 1 else _seeded(torch_seed(*key))

    def agree(self, facts: Mapping[str, Any]) -> None:
        """EmomtlError where this process has other rows, plugins or versions than the first."""
        first_facts = self.broadcast_object(dict(facts))
        for name, value in facts.items():
            if first_facts[name] != value:
                finding = (
                    f"process {self.rank} of {self.world_size} has other {name} than the first"
                )
                remedy = "give all machines the same files and packages"
                raise EmomtlError(Problem("processes", finding, remedy))


ALONE = Ranks()
"""The one process of a run that no launcher started."""


class _Gathered(torch.autograd.Function):
    """The rows of all processes in their order; see `Ranks.all_gather`."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, n: int, ranks: Ranks) -> Tensor:
        from torch.distributed import all_gather

        ctx.rows, ctx.ranks = len(own), ranks
        most = -(-n // ranks.world_size)
        padded = own.new_zeros((most, *own.shape[1:]))
        padded[: len(own)] = own
        gathered = own.new_empty((ranks.world_size, *padded.shape))
        with collective():
            all_gather(list(gathered.unbind()), padded)
        # row i is row i // world_size of process i % world_size
        return gathered.transpose(0, 1).reshape(-1, *own.shape[1:])[:n].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        local = grads[0][ctx.ranks.rank :: ctx.ranks.world_size]
        own = local.new_zeros((ctx.rows, *local.shape[1:]))
        own[: len(local)] = local * ctx.ranks.world_size
        return own, None, None


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def collective() -> Iterator[None]:
    """Around what all processes do at once: ProcessLost where one has ended."""
    try:
        yield
    except RuntimeError as error:  # gloo has no other; NCCL's DistBackendError is one
        first_line = str(error).strip().split("\n")[0]
        message = re.sub(r"^\[[^]]*\] ", "", first_line)  # gloo begins with a place in its source
        finding = "another process of the run has ended, or cannot be reached: "
        finding += clean(message, 80)
        remedy = (
            "its own message says why, if it had time for one; the last checkpoint is good: "
            "start all processes again with --resume"
        )
        raise ProcessLost(Problem("processes", finding, remedy)) from error


def ranks_from_environment() -> Ranks:
    """Who this process is by RANK, WORLD_SIZE and LOCAL_RANK, which launchers set."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    values = {name: os.environ.get(name, "") for name in names}
    try:
        size = int(values["WORLD_SIZE"] or 1)
        rank = int(values["RANK"] or (0 if size == 1 else ""))
        local = int(values["LOCAL_RANK"] or 0)
        if not 0 <= rank < size:
            raise ValueError
    except ValueError:
        shown = ", ".join(f"{name}={clean(value)!r}" for name, value in values.items())
        remedy = "start with torchrun or `accelerate launch`, which set all three, or unset them"
        raise EmomtlError(
            Problem("processes", f"these do not go together: {shown}", remedy)
        ) from None
    return Ranks(rank, size, local)


def refuse_engines() -> None:
    """EmomtlError where the launcher asks for an engine that splits the model."""
    for variable, engine in ENGINES.items():
        if os.environ.get(variable, "").lower() in ("true", "1"):
            finding = (
                f"{variable} is set, but emomtl has no {engine}: each process holds the whole model"
            )
            remedy = (
                "start with torchrun or `accelerate launch --multi_gpu`; "
                "`encoder.checkpoint_layers` and `train.accumulate` lower the memory that a "
                "process needs"
            )
            raise EmomtlError(Problem("processes", finding, remedy))


@contextmanager
def process_group() -> Iterator[Ranks]:
    """Join the processes that a launcher started; one that none started is alone.

    Of an error that several processes see, the first to see it prints the message: the others end
    by `SilentExit`.
    """
    ranks = ranks_from_environment()
    if ranks.world_size == 1:
        refuse_engines()
        yield ranks
        return
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    nccl = torch.cuda.is_available() and distributed.is_nccl_available()
    if nccl and ranks.local_rank < torch.cuda.device_count():
        torch.cuda.set_device(ranks.local_rank)
    rank, size = ranks.rank, ranks.world_size
    with collective():
        store, _, _ = next(rendezvous("env://", rank, size, timeout=TIMEOUT))
        backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
        distributed.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT
        )
    try:
        refuse_engines()  # only once they are joined, so that one process prints it for all
        yield ranks
    except EmomtlError as error:
        if not _prints(store, ranks, isinstance(error, ProcessLost)):
            raise SilentExit(1) from error
        raise
    except Exception as error:
        code = getattr(error, "code", None)
        if isinstance(code, int) and not ranks.first:
            raise SilentExit(code) from error
        raise
    distributed.destroy_process_group()


def _prints(store: Any, ranks: Ranks, lost: bool) -> bool:
    """Whether this process prints its error: the first to ask, or one that can ask nobody.

    The first process keeps the store: it waits a little, so that others can still ask.
    """
    try:
        number: int = store.add("emomtl/said", 1)
        end = time.monotonic() + LAST_WORDS
        waits = ranks.first and not lost
        while waits and store.add("emomtl/said", 0) < ranks.world_size and time.monotonic() < end:
            time.sleep(0.05)
    except RuntimeError:  # the process that kept the store is gone
        return True
    return number == 1
