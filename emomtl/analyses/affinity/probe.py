"""One measurement: how the gradients of tasks stand to each other, and what a step on one does to
the losses of all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emomtl.errors import EmomtlError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

WHOLE = "all"
"""The group of all shared parameters."""


@dataclass(frozen=True)
class Measurement:
    """What was found at one moment, for T tasks in their order; NaN where a figure is undefined (a
    gradient or loss of 0).

    `cosines` (T, T) by group of parameters: the cosine of both tasks' gradients. `magnitudes` (T,
    T): the similarity of their lengths, 2 |g_i| |g_j| / (|g_i|² + |g_j|²), 1 for equal ones.
    `lookahead` (T, T): Z of row i on column j, what part of the loss of j a step of one length on i
    takes away; below 0 where it adds. `losses` (T,).
    """

    tasks: tuple[str, ...]
    cosines: Mapping[str, NDArray[np.float64]]
    magnitudes: NDArray[np.float64]
    lookahead: NDArray[np.float64]
    losses: NDArray[np.float64]


def probe(
    losses: Callable[[], Mapping[str, Tensor]],
    parameters: Mapping[str, nn.Parameter],
    rate: float | None = None,
) -> Measurement:
    """Gradients and look-ahead steps on the `parameters` (by name) that at least two tasks share.

    `losses` computes the loss of each task from the parameters as they stand, the same way every
    time it is called: without dropout, on the same texts. Z_{i->j} = 1 − L_j(after) / L_j(before),
    where "after" is a step of length `rate` against the gradient of L_i on the shared parameters,
    heads left alone: θ − rate · g_i / |g_i|. Fifty et al. (2021, arXiv:2109.04617, equation 1) take
    θ − η g_i, whose length grows with the scale of L_i; with one length for all, Z depends on the
    scale of neither loss. Without a `rate` no step is tried, and Z is NaN. Afterwards the
    parameters are what they were, bit for bit.
    """
    import torch

    before = dict(losses())
    tasks = tuple(before)
    wanted = list(parameters.values())
    each = [
        _dense(torch.autograd.grad(one, wanted, retain_graph=True, allow_unused=True))
        for one in before.values()
    ]
    used = [
        place for place in range(len(parameters)) if sum(one[place] is not None for one in each) > 1
    ]
    if not used:
        raise EmomtlError(
            "no two tasks train a parameter in common",
            remedy="let the encoder, or a part of it, be trained",
        )
    names = [name for place, name in enumerate(parameters) if place in set(used)]
    shared = [wanted[place] for place in used]
    gradients = [[one[place] for place in used] for one in each]
    was = np.array([float(one.detach()) for one in before.values()])
    del before, each
    grams = _grams(names, shared, gradients)
    lookahead = np.full((len(was), len(was)), np.nan)
    if rate is not None:
        lengths = np.sqrt(np.diag(grams[WHOLE]))
        lookahead = _lookahead(losses, shared, gradients, lengths, rate, was)
    cosines = {group: _cosines(gram) for group, gram in grams.items()}
    return Measurement(tasks, cosines, _magnitudes(grams[WHOLE]), lookahead, was)


def layer_of(name: str) -> str:
    """The group of a parameter by its name: `layer 3` where it stands in a numbered layer, else
    `embeddings` or `other`.
    """
    number = re.search(r"(?:^|\.)(\d+)(?:\.|$)", name)
    return f"layer {int(number[1])}" if number else "embeddings" if "embed" in name else "other"


def _dense(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The gradients without those that only list their rows, as that of a word embedding may."""
    return [one.to_dense() if one is not None and one.is_sparse else one for one in gradients]


def _grams(
    names: Sequence[str],
    shared: Sequence[nn.Parameter],
    gradients: Sequence[Sequence[Tensor | None]],
) -> dict[str, NDArray[np.float64]]:
    """Inner products of the tasks' gradients (T, T), over all parameters and over each group."""
    import torch

    size = len(gradients)
    grams: dict[str, NDArray[np.float64]] = {WHOLE: np.zeros((size, size))}
    for place, (name, parameter) in enumerate(zip(names, shared, strict=True)):
        rows = [one[place] for one in gradients]
        flat = torch.stack(
            [
                (torch.zeros_like(parameter) if row is None else row).flatten().detach()
                for row in rows
            ]
        )
        gram = (flat @ flat.T).double().cpu().numpy()
        group = layer_of(name)
        grams[group] = grams.get(group, np.zeros((size, size))) + gram
        grams[WHOLE] = grams[WHOLE] + gram
    return grams


def _cosines(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.sqrt(np.diag(gram))
    products = np.outer(lengths, lengths)
    return np.asarray(
        np.divide(gram, products, out=np.full_like(gram, np.nan), where=products > 0).clip(-1, 1)
    )


def _magnitudes(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = np.diag(gram)
    sums = squares[:, None] + squares[None]
    products = 2 * np.sqrt(np.outer(squares, squares))
    return np.asarray(np.divide(products, sums, out=np.full_like(gram, np.nan), where=sums > 0))


def _lookahead(
    losses: Callable[[], Mapping[str, Tensor]],
    shared: Sequence[nn.Parameter],
    gradients: Sequence[Sequence[Tensor | None]],
    lengths: NDArray[np.float64],
    rate: float,
    was: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Z (T, T): row i, column j; the parameters are moved in place and put back. A row without a
    gradient is NaN.
    """
    import torch

    found = np.full((len(was), len(was)), np.nan)
    with torch.no_grad():
        kept = [parameter.clone() for parameter in shared]
        try:
            for i, gradient in enumerate(gradients):
                if lengths[i] == 0:
                    continue
                step = rate / float(lengths[i])
                for parameter, start, slope in zip(shared, kept, gradient, strict=True):
                    parameter.copy_(start if slope is None else start - step * slope)
                after = np.array([float(one) for one in losses().values()])
                found[i] = 1 - np.divide(after, was, out=np.full_like(was, np.nan), where=was != 0)
        finally:
            for parameter, start in zip(shared, kept, strict=True):
                parameter.copy_(start)
    return found
