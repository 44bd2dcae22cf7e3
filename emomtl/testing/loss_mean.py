"""The check that `known` counts what a head's loss is the mean over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from emomtl.contracts.heads import Head
from emomtl.testing.findings import Findings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def check_loss_is_mean(
    findings: Findings, head: Head, targets: NDArray[Any], logits: Tensor, rows: str
) -> None:
    """Cut the rows (or texts, as `rows` calls them) in two at every place.

    With L(A) the loss of the rows A and k(A) the sum of their counts, the loss of all has to be
    (k(A) L(A) + k(B) L(B)) / (k(A) + k(B)).
    """
    import torch

    def loss_of(part: slice) -> float:
        return float(head.loss(logits[part], torch.from_numpy(targets[part])))

    loss_of_all = loss_of(slice(None))
    for cut in range(1, len(targets)):
        first, second = slice(None, cut), slice(cut, None)
        k_a, k_b = (float(head.known(targets[part]).sum()) for part in (first, second))
        if not k_a + k_b:
            continue
        mean = (k_a * loss_of(first) + k_b * loss_of(second)) / (k_a + k_b)
        if not math.isclose(loss_of_all, mean, rel_tol=1e-4, abs_tol=1e-6):
            problem = f"known() counts {k_a:g} and {k_b:g}, by which two parts' losses make "
            problem += f"{mean:.6g}; that of all {rows}s is {loss_of_all:.6g}"
            remedy = f"let known() give, for each {rows}, what the mean of loss() is over"
            findings.add(problem, remedy)
            return
