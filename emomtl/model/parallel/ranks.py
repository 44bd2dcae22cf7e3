"""The processes of one training, seen from one of them: its rank, its rows, and how they exchange values.

Where there is one process, every method returns what it was given, and torch.distributed is not imported.
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

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others where none of them is seen to have ended: a network that went silent, a long read."""

REMEDY = "its own message says why, if it had time for one; the last checkpoint is good: start all processes again with --resume"


class Lost(EmomtlError):
    """Another process of the run is gone, so this one cannot go on."""


ENGINES = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}
"""Engines that split a model among processes, by the variable with which `accelerate launch` asks for one."""

PARTING = 5.0
"""Seconds that a process which keeps what all know stays for others that end by the same error."""


class Hushed(SystemExit):
    """This process ends with the code of its error and says nothing, as another one has said it."""


@dataclass(frozen=True)
class Ranks:
    """Process `rank` of `world_size`, on its machine number `local_rank`, both counted from 0, as torchrun has them."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @property
    def key(self) -> tuple[int, ...]:
        """What ends the key of random numbers that are this process's own; nothing for the first, which draws as if alone."""
        return (self.rank,) if self.rank else ()

    def check(self, wanted: int | None) -> None:
        """Refuse another number of processes than the manifest asks for."""
        if wanted is not None and wanted != self.world_size:
            finding = f"the manifest asks for {wanted} process(es), and {self.world_size} run"
            remedy = f"`torchrun --nproc-per-node {wanted} -m emomtl train ...`, or --set devices={self.world_size}"
            raise EmomtlError(Problem("devices", finding, remedy))

    def local_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part of some rows: every `world_size`-th.

        Never none: a row beyond the end counts nowhere (see `all_gather`).
        """
        return rows[self.rank :: self.world_size] if self.rank < len(rows) else rows[:1]

    def local_count(self, n: int) -> int:
        """How many of this process's rows are among the first n of all, and at least one."""
        return max(1, -(-(n - self.rank) // self.world_size))

    def all_gather(self, own: Tensor, n: int) -> Tensor:
        """The values of all n rows (n, ...) in their order, from those that each process has of its part, (b, ...).

        Its gradient is this process's part of that of the whole, times `world_size`. So whatever is computed from
        the whole, alike in all processes, has right gradients once those of all parameters are averaged: before it
        (parts of a sum) and after it (everywhere the same).
        """
        return own if self.world_size == 1 else _Gathered.apply(own, n, self)  # type: ignore[no-any-return, no-untyped-call]

    def broadcast_object(self, value: Value) -> Value:
        """The first process's value, in all of them: numbers, names, scores."""
        if self.world_size == 1:
            return value
        from torch.distributed import broadcast_object_list

        values = [value]
        with together():
            broadcast_object_list(values, src=0)
        return values[0]

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Let all processes have the first one's values in their tensors."""
        if self.world_size > 1:
            from torch.distributed import broadcast

            with together(), torch.no_grad():
                for tensor in tensors:
                    broadcast(tensor.data, src=0)

    def reduce(self, array: NDArray[Any]) -> NDArray[Any]:
        """The sum of an array over all processes, in the first one; in the others anything. Exact where all but one are 0."""
        if self.world_size == 1:
            return array
        from torch.distributed import reduce

        tensor = torch.from_numpy(array)
        with together():
            reduce(tensor, dst=0)
        return array

    def barrier(self) -> None:
        """Wait until every process has come here."""
        if self.world_size > 1:
            from torch.distributed import all_reduce

            with together():
                all_reduce(torch.zeros(1))

    @contextmanager
    def local_main_first(self) -> Iterator[None]:
        """On each machine the first process does what is inside, and then the others, who find what it kept."""
        if self.local_rank:
            self.barrier()
        yield
        if not self.local_rank:
            self.barrier()

    def alike(self, *key: int | str) -> AbstractContextManager[Any]:
        """Inside, torch draws the same numbers in all processes; one alone draws on as it did."""
        return nullcontext() if self.world_size == 1 else _seeded(torch_seed(*key))

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Refuse to go on where this process has other rows, plugins or versions than the first one."""
        first_facts = self.broadcast_object(dict(facts))
        for name, value in facts.items():
            if first_facts[name] != value:
                finding = f"process {self.rank} of {self.world_size} has other {name} than the first"
                raise EmomtlError(Problem("processes", finding, "give all machines the same files and packages"))


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
        with together():
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
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_available() else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def together() -> Iterator[None]:
    """Around what all processes do at once: one that is gone is an EmomtlError, whatever the backend calls it."""
    try:
        yield
    except RuntimeError as error:  # gloo has no other; NCCL's DistBackendError is one
        raise _lost(error) from error


def _lost(error: RuntimeError) -> Lost:
    said = re.sub(r"^\[[^]]*\] ", "", str(error).strip().split("\n")[0])  # gloo begins with a place in its own source
    return Lost(Problem("processes", f"another process of the run has ended, or cannot be reached: {clean(said, 80)}", REMEDY))


def launched() -> Ranks:
    """Who this process is, from what torchrun and `accelerate launch` set: RANK, WORLD_SIZE, LOCAL_RANK."""
    given = {name: os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    try:
        size = int(given["WORLD_SIZE"] or 1)
        rank, local = int(given["RANK"] or (0 if size == 1 else "")), int(given["LOCAL_RANK"] or 0)
        if not 0 <= rank < size:
            raise ValueError
    except ValueError:
        said = ", ".join(f"{name}={clean(value)!r}" for name, value in given.items())
        remedy = "start with torchrun or `accelerate launch`, which set all three, or unset them"
        raise EmomtlError(Problem("processes", f"these do not go together: {said}", remedy)) from None
    return Ranks(rank, size, local)


def refuse_engines() -> None:
    """EmomtlError where the launcher asks for an engine that splits the model: each process holds all of it."""
    for variable, engine in ENGINES.items():
        if os.environ.get(variable, "").lower() in ("true", "1"):
            finding = f"{variable} is set, but emomtl has no {engine}: each process holds the whole model"
            remedy = (
                "start with torchrun or `accelerate launch --multi_gpu`; `encoder.checkpoint_layers` "
                "and `train.accumulate` lower the memory that a process needs"
            )
            raise EmomtlError(Problem("processes", finding, remedy))


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that a launcher started, joined while this lasts; one that no launcher started is alone.

    Of errors that several processes see, the first to see one says it: the others end by `Hushed`.
    """
    ranks = launched()
    if ranks.world_size == 1:
        refuse_engines()
        yield ranks
        return
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    nccl = torch.cuda.is_available() and distributed.is_nccl_available()
    if nccl and ranks.local_rank < torch.cuda.device_count():
        torch.cuda.set_device(ranks.local_rank)
    with together():
        store, _, _ = next(rendezvous("env://", ranks.rank, ranks.world_size, timeout=PATIENCE))
        backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
        distributed.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.world_size, timeout=PATIENCE)
    try:
        refuse_engines()  # only once they are joined, so that one process says it for all
        yield ranks
    except EmomtlError as error:
        if not _speaks(store, ranks, isinstance(error, Lost)):
            raise Hushed(1) from error
        raise
    except Exception as error:
        code = getattr(error, "code", None)
        if isinstance(code, int) and not ranks.first:
            raise Hushed(code) from error
        raise
    distributed.destroy_process_group()


def _speaks(store: Any, ranks: Ranks, lost: bool) -> bool:
    """Whether this process says its error: the first to ask does, and so does one that can ask nobody any more."""
    try:
        said: int = store.add("emomtl/said", 1)
        until = time.monotonic() + PARTING
        while ranks.first and not lost and store.add("emomtl/said", 0) < ranks.world_size and time.monotonic() < until:
            time.sleep(0.05)
    except RuntimeError:  # what all know went with the process that kept it
        return True
    return said == 1
