"""The part of `check_head` for heads over tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from emomtl.contracts.heads import MISSING_TOKEN, TokenHead, Vocabulary
from emomtl.errors import EmomtlError
from emomtl.seeds import generator
from emomtl.testing.findings import Findings
from emomtl.testing.loss_mean import check_loss_is_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH = 8
VOCABULARY = Vocabulary(size=50, rows=52, width=6, mask=4, special=frozenset({0, 1, 2, 3, 4}))
PAD, CLS, SEP = 0, 2, 3
TEXTS, LENGTH = 12, 20


def check_tokens(findings: Findings, head: TokenHead) -> None:
    """Check that `prepare` is pure, and that the loss is finite and reaches the encoder.

    A batch of random texts is prepared twice from one seed, and once from another.
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
    """Random texts of 6 to 20 tokens with [CLS], [SEP] and padding."""
    import numpy as np

    draw = np.random.default_rng(7)
    ids = draw.integers(5, VOCABULARY.size, size=(TEXTS, LENGTH))
    lengths = draw.integers(6, LENGTH + 1, size=TEXTS)
    lengths[0] = LENGTH
    inside = np.arange(LENGTH)[None, :] < lengths[:, None]
    ids[~inside] = PAD
    ids[:, 0] = CLS
    ids[np.arange(TEXTS), lengths - 1] = SEP
    return {"input_ids": ids, "attention_mask": inside.astype(np.int64)}


def _check_prepare(findings: Findings, head: TokenHead, inputs: dict[str, NDArray[Any]]) -> None:
    import numpy as np

    before = {name: array.copy() for name, array in inputs.items()}
    prepared, targets = head.prepare(inputs, VOCABULARY, generator(1))
    prepared_again, targets_again = head.prepare(inputs, VOCABULARY, generator(1))
    shapes = {name: array.shape for name, array in prepared.items()}
    if shapes != {name: array.shape for name, array in inputs.items()}:
        problem = f"gives the inputs {sorted(prepared)}"
        raise EmomtlError(problem, remedy="the same inputs, in the same shapes")
    if targets.shape != inputs["input_ids"].shape or targets.dtype.kind != "i":
        problem = f"gives {targets.dtype} targets of shape {targets.shape}"
        raise EmomtlError(problem, remedy="whole numbers (B, T)")
    unchanged = all(np.array_equal(before[name], inputs[name]) for name in inputs)
    findings.expect(unchanged, "prepare() changes the inputs in place", "copy what you change")
    pure = np.array_equal(targets, targets_again)
    pure &= all(np.array_equal(prepared[name], prepared_again[name]) for name in prepared)
    problem = "prepare() gives something else from the same draw"
    findings.expect(pure, problem, "take all random numbers from `draw`")
    of_padding = targets[inputs["attention_mask"] == 0]
    without_target = bool((of_padding == MISSING_TOKEN).all())
    findings.expect(without_target, "padding has a target", "leave padding out")
    some_target = bool((targets != MISSING_TOKEN).any())
    problem = "no token of twelve texts has a target"
    findings.expect(some_target, problem, "let some token cost a loss")
    ids = prepared["input_ids"]
    inside = bool((ids >= 0).all() and (ids < VOCABULARY.rows).all())
    problem = "prepare() gives ids outside of the embedding"
    findings.expect(inside, problem, "ids from 0 to `size` - 1")


def _check_loss(findings: Findings, head: TokenHead, inputs: dict[str, NDArray[Any]]) -> None:
    import torch

    _, array = head.prepare(inputs, VOCABULARY, generator(1))
    targets = torch.from_numpy(array)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = head.build_on_tokens(WIDTH, VOCABULARY).eval()
        states = torch.randn(TEXTS, LENGTH, WIDTH, requires_grad=True)
        words = torch.randn(VOCABULARY.rows, VOCABULARY.width, requires_grad=True)
    outputs = module(states, targets, words)
    shape = (TEXTS, len(head.outputs(None)))
    if tuple(outputs.shape) != shape:
        problem = f"the module gives shape {tuple(outputs.shape)}"
        raise EmomtlError(problem, remedy=f"(B, L) = {shape}")
    loss = head.loss(outputs, targets)
    if loss.shape != () or not math.isfinite(loss.item()):
        raise EmomtlError(f"is {loss}", remedy="a finite scalar")
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    gradient = sum(float(grad.abs().sum()) for grad in gradients)
    problem = "the loss gives the head's parameters no finite gradient"
    finite = math.isfinite(gradient) and gradient > 0
    findings.expect(finite, problem, "compute it from the states")
    reached = states.grad is not None and float(states.grad.abs().sum()) > 0
    findings.expect(reached, "no gradient reaches the encoder's states", "do not detach them")
    no_targets = torch.full_like(targets, MISSING_TOKEN)
    nothing = head.loss(module(states, no_targets, words), targets).item()
    problem = f"without any target the loss is {nothing}"
    findings.expect(nothing == 0, problem, "it must be 0, not NaN")
    counts = head.known(array)
    if counts.shape != (TEXTS,):
        problem = f"known() gives shape {counts.shape}"
        raise EmomtlError(problem, remedy=f"one number a text: ({TEXTS},)")
    with torch.no_grad():
        check_loss_is_mean(findings, head, array, module(states, targets, words), "text")
