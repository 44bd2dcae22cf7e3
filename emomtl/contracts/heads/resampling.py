"""Macro metrics of decisions on many bootstrap samples at once: a product of matrices each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AT_ONCE = 50
"""Samples whose counts are computed at once, to bound memory."""

MACRO_RATES = ("macro_precision", "macro_recall", "macro_f1")


def macro_rates(
    name: str, truth: NDArray[Any], decided: NDArray[Any], samples: NDArray[Any]
) -> NDArray[np.float64]:
    """One of `MACRO_RATES` on samples of row numbers (B, n), as (B,).

    `truth` and `decided` (n, L) are 1 where a label is true or decided. As in single samples,
    labels with neither a positive nor a decision are left out of the mean; NaN where that leaves
    none.
    """
    import numpy as np

    both = (truth & decided).astype(np.float32)
    truth, decided = truth.astype(np.float32), decided.astype(np.float32)
    values = [np.empty(0)]
    for start in range(0, len(samples), AT_ONCE):
        block = samples[start : start + AT_ONCE]
        times = np.stack([np.bincount(rows, minlength=len(truth)) for rows in block])
        times = times.astype(np.float32)
        # counts by sample and label (B, L): whole numbers, exact in float32 up to 2^24 rows
        hits, support, predicted = (times @ both).astype(np.float64), times @ truth, times @ decided
        if name == "macro_f1":
            hits, of = 2 * hits, support + predicted
        else:
            of = predicted if name == "macro_precision" else support
        rates = np.divide(hits, of, out=np.zeros(of.shape), where=of > 0)
        defined = np.count_nonzero(support + predicted, axis=1)
        undefined = np.full(len(block), np.nan)
        values.append(np.divide(rates.sum(axis=1), defined, out=undefined, where=defined > 0))
    return np.concatenate(values)
