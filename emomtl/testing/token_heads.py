"""The part of the check for heads that is for those that read tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from emomtl.contracts.heads import MISSING_TOKEN, TokenHead, Vocabulary
from emomtl.errors import EmomtlError
from emomtl.seeds import generator
from emomtl.testing.findings import Findings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

WIDTH = 8
VOCABULARY = Vocabulary(size=50, rows=52, width=6, mask=4, special=frozenset({0, 1, 2, 3, 4}))
TEXTS, LENGTH = 12, 20


def check_tokens(findings: Findings, head: TokenHead) -> None:
    """What holds for a head over token states: pure preparing, and a module with a finite loss that reaches what it reads.

    A batch of random texts with [CLS], [SEP] and padding is prepared twice from one seed, and once from another.
    """
    inputs = _texts()
    with findings.trying("check_vocabulary() of a tokenizer with a mask token"):
        head.check_vocabulary(VOCABULARY)
    findings.done()
    with findings.trying("prepare()"):
        _check_prepare(findings, head, inputs)
    findings.done()
    with findings.trying("its loss"):
        _check_loss(findings, head, inputs)
    findings.done()


def _texts() -> dict[str, NDArray[Any]]:
    """Random texts of 6 to 20 tokens: id 2 first, 3 last, 0 behind."""
    import numpy as np

    draw = np.random.default_rng(7)
    ids = draw.integers(5, VOCABULARY.size, size=(TEXTS, LENGTH))
    lengths = draw.integers(6, LENGTH + 1, size=TEXTS)
    lengths[0] = LENGTH
    inside = np.arange(LENGTH)[None, :] < lengths[:, None]
    ids[~inside] = 0
    ids[:, 0] = 2
    ids[np.arange(TEXTS), lengths - 1] = 3
    return {"input_ids": ids, "attention_mask": inside.astype(np.int64)}


def _check_prepare(findings: Findings, head: TokenHead, inputs: dict[str, NDArray[Any]]) -> None:
    import numpy as np

    before = {name: array.copy() for name, array in inputs.items()}
    made, targets = head.prepare(inputs, VOCABULARY, generator(1))
    same, again = head.prepare(inputs, VOCABULARY, generator(1))
    if set(made) != set(inputs) or any(made[name].shape != inputs[name].shape for name in inputs):
        raise EmomtlError(f"gives the inputs {sorted(made)}", remedy="the same inputs, in the same shapes")
    if targets.shape != inputs["input_ids"].shape or targets.dtype.kind != "i":
        raise EmomtlError(f"gives {targets.dtype} targets of shape {targets.shape}", remedy="whole numbers (B, T)")
    unchanged = all(np.array_equal(before[name], inputs[name]) for name in inputs)
    findings.expect(unchanged, "prepare() changes the inputs in place", "copy what you change")
    pure = np.array_equal(targets, again) and all(np.array_equal(made[name], same[name]) for name in made)
    findings.expect(pure, "prepare() gives something else from the same draw", "take all random numbers from `draw`")
    padding = inputs["attention_mask"] == 0
    findings.expect(bool((targets[padding] == MISSING_TOKEN).all()), "padding has a target", "leave padding out")
    wanted = targets[targets != MISSING_TOKEN]
    findings.expect(bool(len(wanted)), "no token of twelve texts has a target", "let some token cost a loss")
    ids = made["input_ids"]
    inside = bool((ids >= 0).all() and (ids < VOCABULARY.rows).all())
    findings.expect(inside, "prepare() gives ids outside of the embedding", "ids from 0 to `size` - 1")


def _check_loss(findings: Findings, head: TokenHead, inputs: dict[str, NDArray[Any]]) -> None:
    import torch

    _, targets = head.prepare(inputs, VOCABULARY, generator(1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = head.build_on_tokens(WIDTH, VOCABULARY).eval()
        states = torch.randn(TEXTS, LENGTH, WIDTH, requires_grad=True)
        words = torch.randn(VOCABULARY.rows, VOCABULARY.width, requires_grad=True)
    tensor = torch.from_numpy(targets)
    figures = module(states, tensor, words)
    shape = (TEXTS, len(head.outputs(None)))
    if tuple(figures.shape) != shape:
        raise EmomtlError(f"the module gives shape {tuple(figures.shape)}", remedy=f"(B, L) = {shape}")
    loss = head.loss(figures, tensor)
    if loss.shape != () or not math.isfinite(loss.item()):
        raise EmomtlError(f"is {loss}", remedy="a finite scalar")
    loss.backward()  # type: ignore[no-untyped-call]
    gradient = sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)
    finite = math.isfinite(gradient) and gradient > 0
    findings.expect(finite, "the loss gives the head's parameters no finite gradient", "compute it from the states")
    reached = states.grad is not None and float(states.grad.abs().sum()) > 0
    findings.expect(reached, "no gradient reaches the encoder's states", "do not detach them")
    nothing = head.loss(module(states, torch.full_like(tensor, MISSING_TOKEN), words), tensor)
    findings.expect(nothing.item() == 0, f"without any target the loss is {nothing.item()}", "it must be 0, not NaN")
    _check_known(findings, head, module(states.detach(), tensor, words.detach()).detach(), targets)


def _check_known(findings: Findings, head: TokenHead, figures: Tensor, targets: NDArray[Any]) -> None:
    """`known` counts what the loss is a mean over: so the losses of two halves of the texts add up to that of all."""
    import torch

    counts = head.known(targets)
    if counts.shape != (TEXTS,):
        raise EmomtlError(f"known() gives shape {counts.shape}", remedy=f"one number a text: ({TEXTS},)")
    for cut in range(1, TEXTS):
        sums = [float(counts[:cut].sum()), float(counts[cut:].sum())]
        parts = [(figures[:cut], targets[:cut]), (figures[cut:], targets[cut:])]
        losses = [float(head.loss(one, torch.from_numpy(wanted))) for one, wanted in parts]
        whole = float(head.loss(figures, torch.from_numpy(targets)))
        mean = (sums[0] * losses[0] + sums[1] * losses[1]) / max(sum(sums), 1e-12)
        if not math.isclose(whole, mean, rel_tol=1e-4, abs_tol=1e-6):
            parts_say = f"known() counts {sums[0]:g} and {sums[1]:g}, by which two parts' losses make {mean:.6g}"
            found = f"{parts_say}; that of all texts is {whole:.6g}"
            findings.expect(False, found, "let known() give, for each text, what the mean of loss() is over")
            return
