"""The check for objectives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from emomtl.contracts.heads import Head, MultiLabel, SingleLabel
from emomtl.contracts.objective import Answers, Objective, View
from emomtl.contracts.taxonomy import Grouping, Label, Taxonomy
from emomtl.errors import EmomtlError
from emomtl.testing.findings import Findings

if TYPE_CHECKING:
    from torch import Tensor, nn

ROWS, WIDTH = 12, 6
TAXONOMY = Taxonomy(
    [
        Label("joy", vad=(0.98, 0.82, 0.79)),
        Label("love", vad=(1.0, 0.52, 0.67)),
        Label("fear", vad=(0.07, 0.84, 0.29)),
        Label("anger", vad=(0.17, 0.87, 0.66)),
    ],
    [Grouping("tone", {"pleasant": ("joy", "love"), "unpleasant": ("fear", "anger")})],
)
"""Four labels with everything that labels can have."""


def check_objective(objective: Objective, taxonomy: Taxonomy | None = None, head: Head | None = None) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of an objective and that does not hold.

    Twelve random texts get labels of the taxonomy, one and several each, or as `head` has them. The loss must be a finite
    scalar in fp32 with a finite gradient at the pooled vectors or the logits, not depend on the order of the texts, be the
    same the second time, be finite for bf16 vectors, and be 0 (with a finite gradient) where no label is known.

    An objective with `partners` is checked as far as it goes without them. `taxonomy` is one of four labels unless given.
    """
    findings = Findings(f"objective {type(objective).__name__}")
    findings.options(objective)
    labels = taxonomy if taxonomy is not None else TAXONOMY
    for one in (head,) if head is not None else (MultiLabel(), SingleLabel()):
        if not objective.partners:
            with findings.trying("check() with the task", one.kind):
                objective.check("task", {"task": (one, labels)})
        if not findings.problems:
            with findings.trying("its loss", one.kind):
                _check_loss(objective, one, labels)
    findings.done()


def _check_loss(objective: Objective, head: Head, taxonomy: Taxonomy) -> None:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = objective.build(WIDTH, taxonomy)
        pooled, logits = torch.randn(ROWS, WIDTH), torch.randn(ROWS, len(head.outputs(taxonomy)))
    targets = _targets(head, taxonomy)
    first, gradient = _loss(objective, module, pooled, logits, targets, taxonomy)
    if not gradient:
        raise EmomtlError("no gradient reaches the pooled vectors or the logits", remedy="compute the loss from them")
    if _loss(objective, module, pooled, logits, targets, taxonomy)[0] != first:
        raise EmomtlError("the same texts give another loss the second time", remedy="keep nothing and draw nothing")
    order = torch.arange(ROWS).flip(0)
    turned, _ = _loss(objective, module, pooled[order], logits[order], targets[order], taxonomy)
    if not math.isclose(first, turned, rel_tol=1e-4, abs_tol=1e-6):
        raise EmomtlError(f"the order of the texts changes the loss from {first:.6g} to {turned:.6g}", remedy="let it not")
    _loss(objective, module, pooled.bfloat16(), logits.bfloat16(), targets, taxonomy)
    unknown = _targets(head, taxonomy, known=False)
    nothing, _ = _loss(objective, module, pooled, logits, unknown, taxonomy)
    if nothing != 0:
        raise EmomtlError(f"without any known label the loss is {nothing:.6g}", remedy="it must be 0, not NaN")


def _targets(head: Head, taxonomy: Taxonomy, known: bool = True) -> Tensor:
    """Targets of ROWS texts: each label in turn, for heads that take several with its neighbour in every second round."""
    import numpy as np
    import torch

    names, rows = taxonomy.names, []
    several = not isinstance(head.encode(None, taxonomy), int)
    for place in range(ROWS):
        chosen = [names[place % len(names)], *([names[(place + 1) % len(names)]] if several and place % 8 > 3 else [])]
        rows.append(head.encode((chosen if several else chosen[0]) if known else None, taxonomy))
    return torch.from_numpy(np.asarray(rows))


def _loss(
    objective: Objective, module: nn.Module, pooled: Tensor, logits: Tensor, targets: Tensor, taxonomy: Taxonomy
) -> tuple[float, bool]:
    """The loss as a number, and whether a gradient arrived; both are checked to be finite."""
    import torch

    inputs = [pooled.clone().requires_grad_(), logits.clone().requires_grad_()]
    # the answers of a second pass are other ones, and those of a text follow it in whatever order
    again = Answers(inputs[1].flip(1), targets, taxonomy) if objective.second_pass else None
    loss = objective.loss(module, View(inputs[0], Answers(inputs[1], targets, taxonomy), again=again))
    if loss.shape != () or loss.dtype not in (torch.float32, torch.float64) or not math.isfinite(loss.item()):
        said = f"is {loss.detach().tolist()}, {loss.dtype} of shape {tuple(loss.shape)}"
        raise EmomtlError(said, remedy="a finite scalar in fp32, whatever the vectors' type")
    if not loss.requires_grad:
        return loss.item(), False
    found = torch.autograd.grad(loss, inputs, allow_unused=True)
    arrived = [one for one in found if one is not None]
    if not all(bool(torch.isfinite(one).all()) for one in arrived):
        raise EmomtlError(
            "the gradient is not finite", remedy="guard divisions, logarithms and roots, also where nothing is known"
        )
    return loss.item(), any(bool(one.any()) for one in arrived)
