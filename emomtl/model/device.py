"""The device on which a run computes, and its arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from emomtl.errors import EmomtlError, Problem


class OutOfMemory(EmomtlError):
    """The device has no room for what was to be computed."""


@contextmanager
def memory(problem: Callable[[], Problem]) -> Iterator[None]:
    """Turn an out-of-memory error inside, on CUDA or a CPU, into `OutOfMemory`."""
    try:
        yield
    except RuntimeError as error:
        is_cuda = isinstance(error, torch.OutOfMemoryError)
        if not is_cuda and "can't allocate memory" not in str(error):
            raise
        raise OutOfMemory(problem()) from error


def choose_device(wanted: str) -> str:
    """`cpu` or `cuda`; `auto` takes a CUDA device where there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        finding = "'cuda' is asked for and torch sees no CUDA device"
        raise EmomtlError(Problem("train.device", finding, "'auto' or 'cpu'"))
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def choose_precision(wanted: str, device: str) -> str:
    """`fp32` or `bf16`; `auto` takes bf16 on CUDA devices that have it, and fp32 on every CPU.

    A CPU without bf16 units is a hundred times slower in it, and one with them would train other
    weights than its neighbour: on a CPU bf16 has to be asked for, and is refused where emulated.
    """
    finding = ""
    if device == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        if wanted == "auto":
            return "bf16" if has_bf16 else "fp32"
        finding = "" if has_bf16 else "this CUDA device has no bf16"
    elif not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        finding = "this CPU computes bf16 a hundred times slower than fp32"
    if wanted == "bf16" and finding:
        raise EmomtlError(Problem("train.precision", finding, "'auto' or 'fp32'"))
    return "bf16" if wanted == "bf16" else "fp32"


def arithmetic(device: str, precision: str) -> AbstractContextManager[Any]:
    """The context in which the encoder runs: autocast for bf16, nothing for fp32."""
    if precision == "bf16":
        return torch.autocast(device, dtype=torch.bfloat16)
    return nullcontext()


def to_device(arrays: Mapping[str, Any], device: str) -> dict[str, Any]:
    """NumPy arrays as tensors on the device; on CUDA through pinned memory, without waiting."""
    tensors: dict[str, Any] = {}
    for name, array in arrays.items():
        tensor = torch.from_numpy(array)
        if device != "cpu":
            tensor = tensor.pin_memory().to(device, non_blocking=True)
        tensors[name] = tensor
    return tensors


class Later:
    """A flag (a tensor of one element) that is copied to the host while the device goes on."""

    def __init__(self, value: Tensor) -> None:
        self._value, self._copied = value, None
        if value.device.type == "cuda":
            pinned = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
            self._value = pinned.copy_(value, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no type
            self._copied.record()

    def __bool__(self) -> bool:
        if self._copied is not None:
            self._copied.synchronize()
        return bool(self._value)
