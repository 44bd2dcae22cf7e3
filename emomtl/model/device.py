"""Where a run computes and in which arithmetic."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from torch import Tensor


class OutOfMemory(EmomtlError):
    """The device has no room for what was to be computed."""


@contextlib.contextmanager
def memory(problem: Callable[[], Problem]) -> Iterator[None]:
    """Turn an out-of-memory error inside, of CUDA or of the CPU's allocator, into `OutOfMemory`
    with the given problem.
    """
    import torch

    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(
            error
        ):
            raise
        raise OutOfMemory(problem()) from error


def choose_device(wanted: str) -> str:
    """`cpu` or `cuda`; `auto` takes a CUDA device where there is one."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise EmomtlError(
            Problem(
                "train.device",
                "'cuda' is asked for and torch sees no CUDA device",
                "'auto' or 'cpu'",
            )
        )
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def choose_precision(wanted: str, device: str) -> str:
    """`fp32` or `bf16`; `auto` takes bf16 on CUDA devices that have it, and fp32 on every CPU.

    A CPU without bf16 units computes it a hundred times slower, and one with them would train other
    weights than its neighbour: on a CPU bf16 has to be asked for, and is refused where it is
    emulated.
    """
    import torch

    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        if wanted == "bf16" and not fast:
            raise EmomtlError(
                Problem("train.precision", "this CUDA device has no bf16", "'auto' or 'fp32'")
            )
        return "bf16" if wanted in ("auto", "bf16") and fast else "fp32"
    if wanted == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise EmomtlError(
            Problem(
                "train.precision",
                "this CPU computes bf16 a hundred times slower than fp32",
                "'auto' or 'fp32'",
            )
        )
    return "bf16" if wanted == "bf16" else "fp32"


def arithmetic(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The context in which the encoder runs: autocast for bf16, nothing for fp32."""
    import torch

    if precision == "bf16":
        return torch.autocast(device, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def to_device(arrays: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Numpy arrays as tensors on the device; on CUDA through pinned memory, without waiting."""
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if device == "cpu":
        return tensors
    return {
        name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in tensors.items()
    }


class Later:
    """A truth value (a tensor of one element) that the host may read while the device goes on with
    what was queued after it.
    """

    def __init__(self, value: Tensor) -> None:
        import torch

        self._value, self._made = value, None
        if value.device.type == "cuda":
            self._value = torch.empty(value.shape, dtype=value.dtype, pin_memory=True).copy_(
                value, non_blocking=True
            )
            self._made = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch does not type it
            self._made.record()

    def __bool__(self) -> bool:
        if self._made is not None:
            self._made.synchronize()
        return bool(self._value)
