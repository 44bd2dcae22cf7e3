"""The check for objectives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from emomtl.contracts.heads import Head, MultiLabel, SingleLabel
from emomtl.contracts.objective import HeadOutput, Objective, View
from emomtl.contracts.taxonomy import Grouping, Label, Taxonomy
from emomtl.errors import EmomtlError
from emomtl.testing.findings import Findings

if TYPE_CHECKING:
    from torch import Tensor, nn

TEXTS, WIDTH = 12, 6
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


def check_objective(
    objective: Objective, taxonomy: Taxonomy | None = None, head: Head | None = None
) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of an objective and that does not
    hold.

    Twelve random texts get labels of the taxonomy, one and several each, or as `head` takes them.
    The loss must be a finite scalar in fp32 with a finite gradient at the pooled vectors or the
    logits, not depend on the order of the texts, be the same the second time, be finite for bf16
    vectors, and be 0 (with a finite gradient) where no label is known.

    An objective with `partners` is checked without them, as far as that goes. The taxonomy has four
    labels unless given.
    """
    findings = Findings(f"objective {type(objective).__name__}")
    findings.options(objective)
    labels = TAXONOMY if taxonomy is None else taxonomy
    for task_head in (MultiLabel(), SingleLabel()) if head is None else (head,):
        if not objective.partners:
            with findings.trying("check() with the task", task_head.kind):
                objective.check("task", {"task": (task_head, labels)})
        if not findings.problems:
            with findings.trying("its loss", task_head.kind):
                _check_loss(_Trial(objective, task_head, labels))
    findings.done()


class _Trial:
    """An objective with its module, on random vectors and logits of twelve texts."""

    def __init__(self, objective: Objective, head: Head, taxonomy: Taxonomy) -> None:
        import torch

        self.objective, self.head, self.taxonomy = objective, head, taxonomy
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.module: nn.Module = objective.build(WIDTH, taxonomy)
            self.pooled = torch.randn(TEXTS, WIDTH)
            self.logits = torch.randn(TEXTS, len(head.outputs(taxonomy)))

    def targets(self, known: bool = True) -> Tensor:
        """Each label in turn; where a head takes several, half of the texts have two."""
        import numpy as np
        import torch

        names, rows = self.taxonomy.names, []
        takes_several = not isinstance(self.head.encode(None, self.taxonomy), int)
        for i in range(TEXTS):
            label = names[i % len(names)]
            labels = [label, names[(i + 1) % len(names)]] if i % 8 > 3 else [label]
            value = labels if takes_several else label
            rows.append(self.head.encode(value if known else None, self.taxonomy))
        return torch.from_numpy(np.asarray(rows))

    def loss(self, pooled: Tensor, logits: Tensor, targets: Tensor) -> tuple[float, bool]:
        """The loss, and whether a gradient arrived; both are checked to be finite."""
        import torch

        inputs = [pooled.clone().requires_grad_(), logits.clone().requires_grad_()]
        again = None
        if self.objective.second_pass:  # other logits, which go with the text whatever the order
            again = HeadOutput(inputs[1].flip(1), targets, self.taxonomy)
        view = View(inputs[0], HeadOutput(inputs[1], targets, self.taxonomy), again=again)
        loss = self.objective.loss(self.module, view)
        precise = loss.dtype in (torch.float32, torch.float64)
        if loss.shape != () or not precise or not math.isfinite(loss.item()):
            problem = f"is {loss.detach().tolist()}, {loss.dtype} of shape {tuple(loss.shape)}"
            raise EmomtlError(problem, remedy="a finite scalar in fp32, whatever the vectors' type")
        if not loss.requires_grad:
            return loss.item(), False
        gradients = torch.autograd.grad(loss, inputs, allow_unused=True)
        arrived = [gradient for gradient in gradients if gradient is not None]
        if not all(bool(torch.isfinite(gradient).all()) for gradient in arrived):
            remedy = "guard divisions, logarithms and roots, also where nothing is known"
            raise EmomtlError("the gradient is not finite", remedy=remedy)
        return loss.item(), any(bool(gradient.any()) for gradient in arrived)


def _check_loss(trial: _Trial) -> None:
    import torch

    pooled, logits, targets = trial.pooled, trial.logits, trial.targets()
    loss, has_gradient = trial.loss(pooled, logits, targets)
    if not has_gradient:
        problem = "no gradient reaches the pooled vectors or the logits"
        raise EmomtlError(problem, remedy="compute the loss from them")
    if trial.loss(pooled, logits, targets)[0] != loss:
        problem = "the same texts give another loss the second time"
        raise EmomtlError(problem, remedy="keep nothing and draw nothing")
    order = torch.arange(TEXTS).flip(0)
    of_other_order, _ = trial.loss(pooled[order], logits[order], targets[order])
    if not math.isclose(loss, of_other_order, rel_tol=1e-4, abs_tol=1e-6):
        problem = f"the order of the texts changes the loss from {loss:.6g} to {of_other_order:.6g}"
        raise EmomtlError(problem, remedy="let it not")
    trial.loss(pooled.bfloat16(), logits.bfloat16(), targets)
    of_unknown, _ = trial.loss(pooled, logits, trial.targets(known=False))
    if of_unknown != 0:
        problem = f"without any known label the loss is {of_unknown:.6g}"
        raise EmomtlError(problem, remedy="it must be 0, not NaN")
