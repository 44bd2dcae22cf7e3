"""Random numbers that depend on a key and nothing else: no generator is kept between steps."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def generator(*key: int | str) -> np.random.Generator:
    """A numpy generator that depends on its key alone, such as (seed, "rows", task, pass)."""
    import numpy as np

    return np.random.default_rng(
        [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in key]
    )


def torch_seed(*key: int | str) -> int:
    """A seed for `torch.manual_seed` that depends on the key alone."""
    return int(generator(*key).integers(2**62))
