"""Integrated gradients of a label's log-odds over the word embeddings, summed to words.

Sundararajan, Taly and Yan (2017, arXiv:1703.01365). Captum computes them, from a text whose tokens
are all replaced by one without content. Nothing else of captum is used: its own HTML would run what
is in a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emomtl.analyses.attribution.texts import Chosen, Unit, units_of
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from emomtl.contracts.heads import Head
    from emomtl.data.corpus import CorpusSplit
    from emomtl.data.tokens import Tokens
    from emomtl.inference.trained import TrainedRun
    from emomtl.model.loaded import EncoderChoice

Blank = Literal["mask", "pad"]
"""The token without content."""

STEPS = 32
"""Points on the path from the blank text to the text, at first."""

MOST_STEPS = 512
"""Points beyond which an attribution is left as it is; they double while it is incomplete."""

TOLERANCE = 0.05
"""The share of their sum by which a text's attributions may miss it, at least so many log-odds."""

ROWS = 256
"""Texts in one pass of the encoder, each point on the path counted as one."""

TOGETHER = 16
"""Texts that are explained at a time."""


@dataclass(frozen=True)
class Read:
    """A text as a model read it: its words, and the share of each token in them (tokens, units).

    Rows of `shares` sum to one, or to zero for a token of no word.
    """

    units: list[Unit]
    shares: NDArray[np.float64]


@dataclass(frozen=True)
class TokenAttribution:
    """Of one (text, label): a number a token, the difference of log-odds, and what it misses."""

    tokens: NDArray[np.float64]
    difference: float
    missed: float
    steps: int

    @property
    def incomplete(self) -> bool:
        """Whether more than the tolerance is missed."""
        return bool(_incomplete(self.missed, self.difference))


@dataclass(frozen=True)
class Attributed:
    """What was attributed: for each of m (text, label) a number a word of `units[text]`.

    `text` and `label` (m,) are their places. `differences` (m,) are the log-odds of the text less
    those of the blank one, `missed` (m,) by how much the attributions of all tokens miss them,
    `steps` (m,) how many points that took. `seen` says which words of a text the model read at all.
    """

    units: list[list[Unit]]
    seen: list[NDArray[np.bool_]]
    text: NDArray[np.int64]
    label: NDArray[np.int64]
    words: list[NDArray[np.float64]]
    differences: NDArray[np.float64]
    missed: NDArray[np.float64]
    steps: NDArray[np.int64]

    @property
    def incomplete(self) -> NDArray[np.bool_]:
        """Where more than the tolerance is missed (m,)."""
        return np.asarray(_incomplete(self.missed, self.differences))


def check_captum() -> None:
    """Raise `EmomtlError` where captum is not installed."""
    if find_spec("captum") is None:
        needed = "attributions need the Python package 'captum'"
        raise EmomtlError(needed, remedy='pip install "emomtl[explain]"')


def attribute(
    trained: TrainedRun, task: str, chosen: Chosen, blank: Blank, steps: int = STEPS
) -> Attributed:
    """What each word of each text adds to the log-odds of each of its labels, against the blank
    text.

    Dropout is off, arithmetic in single precision. Features beside the encoder stay those of the
    text: what they add is in both log-odds and is attributed to no word. EmomtlError where the head
    has no log-odds, the tokenizer no blank token, or where more than a tenth of the attributions
    are incomplete.
    """
    from emomtl.data.tokens import token_places
    from emomtl.inference.evaluator import require_finite

    choice, bound = trained.plan.encoder.for_task(task), trained.plan.tasks[task]
    log_odds = log_odds_of(bound.head, len(bound.head.outputs(bound.taxonomy)))
    tokens = trained.tokens(chosen.split, task)
    places = token_places(trained.tokenizer, chosen.split, choice.max_tokens, choice.truncation)
    read = _read(choice, chosen.split, places)
    blanks = _blanks(trained.tokenizer, tokens, places, blank)
    pairs = [(text, label) for text, labels in enumerate(chosen.labels) for label in labels]
    text, label = np.array(pairs, np.int64).reshape(-1, 2).T
    asked = _Asked(trained, task, tokens, blanks, log_odds)
    made: dict[int, TokenAttribution] = {}
    order = np.argsort(tokens.lengths[text], kind="stable").tolist()
    while order and steps <= MOST_STEPS:
        for start in range(0, len(order), TOGETHER):
            part = order[start : start + TOGETHER]
            made |= dict(zip(part, asked(text[part], label[part], steps), strict=True))
        order = [place for place in order if made[place].incomplete]
        steps *= 2
    found = [made[place] for place in range(len(text))]
    words = []
    for one, number in zip(found, text, strict=True):
        shares = read[number].shares
        words.append(one.tokens[: len(shares)] @ shares)
    attributed = Attributed(
        [one.units for one in read],
        [one.shares.sum(axis=0) > 0 for one in read],
        text,
        label,
        words,
        np.array([one.difference for one in found]),
        np.array([one.missed for one in found]),
        np.array([one.steps for one in found]),
    )
    numbers = [attributed.missed, attributed.differences, *words]
    require_finite(task, np.concatenate(numbers), "these texts")
    if attributed.incomplete.mean() > 0.1:
        count = f"{attributed.incomplete.sum():,} of {len(text):,} attributions"
        finding = f"{count} do not sum to what they explain, with {MOST_STEPS} steps"
        raise EmomtlError(Problem(str(trained.run.folder), finding, "another --blank"))
    return attributed


def log_odds_of(head: Head, outputs: int) -> Callable[[Tensor], Tensor]:
    """A function from logits (B, L) to log-odds (B, L) of each label, log p / (1 - p).

    They are the logits themselves under sigmoids. EmomtlError where a head's probabilities are
    neither sigmoids nor a softmax.
    """
    import torch
    from scipy.special import expit, softmax

    trial = np.linspace(-2.0, 2.0, 2 * outputs).reshape(2, outputs)
    probabilities = head.probabilities(trial)
    if np.allclose(probabilities, expit(trial)):
        return lambda logits: logits.float()
    if outputs > 1 and np.allclose(probabilities, softmax(trial, axis=1)):
        own = torch.eye(outputs, dtype=torch.bool)

        def against_others(logits: Tensor) -> Tensor:
            wide = logits.float()
            others = wide[:, None, :].masked_fill(own.to(wide.device), -torch.inf)
            return wide - others.logsumexp(dim=2)

        return against_others
    found = (
        f"the probabilities of a head of the kind '{head.kind}' are neither sigmoids nor a softmax:"
        " there are no log-odds"
    )
    raise EmomtlError(Problem("--task", found, "name a task with another head"))


@dataclass(frozen=True)
class _Asked:
    """Attributions of some (text, label) by captum."""

    trained: TrainedRun
    task: str
    tokens: Tokens
    blanks: Tokens
    log_odds: Callable[[Tensor], Tensor]

    def __call__(
        self, text: NDArray[np.int64], label: NDArray[np.int64], steps: int
    ) -> list[TokenAttribution]:
        """The attribution of each (text, label)."""
        import torch
        from captum.attr import LayerIntegratedGradients

        from emomtl.model.device import to_device

        device = self.trained.evaluator.device
        inputs = to_device(self.tokens.batch(text), device)
        blank = to_device(self.blanks.batch(text), device)["input_ids"]
        features = self.tokens.beside(text)
        beside = None if features is None else torch.from_numpy(features).to(device)
        method = LayerIntegratedGradients(self._forward, self._embedding())
        values, missed = method.attribute(
            inputs["input_ids"],
            blank,
            target=torch.from_numpy(label).to(device),
            additional_forward_args=(
                inputs["attention_mask"],
                inputs.get("token_type_ids"),
                beside,
            ),
            n_steps=steps,
            internal_batch_size=ROWS,
            return_convergence_delta=True,
        )
        tokens = values.detach().sum(dim=2).double().cpu().numpy()
        misses = missed.detach().double().cpu().numpy()
        # completeness: attributions sum to f(text) - f(blank), up to what is missed
        sums = tokens.sum(axis=1)
        return [
            TokenAttribution(row, float(total - miss), float(miss), steps)
            for row, total, miss in zip(tokens, sums, misses, strict=True)
        ]

    def _forward(
        self, ids: Tensor, mask: Tensor, types: Tensor | None, beside: Tensor | None
    ) -> Tensor:
        """Log-odds (B, L)."""
        import torch

        model = self.trained.model
        inputs = {"input_ids": ids, "attention_mask": mask} | (
            {} if types is None else {"token_type_ids": types}
        )
        pooled = model.encode(inputs, self.task)
        if beside is not None:
            pooled = torch.cat([pooled, beside.to(pooled.dtype)], dim=1)
        return self.log_odds(model.logits(self.task, pooled))

    def _embedding(self) -> Any:
        """The layer that gives each token its vector; an error where the encoder names none."""
        layer = getattr(self.trained.model.encoder, "get_input_embeddings", lambda: None)()
        if layer is None:
            raise EmomtlError(
                Problem("RUN", "the encoder names no word embedding", "a run with another encoder")
            )
        return layer


def _incomplete(missed: Any, difference: Any) -> Any:
    return np.abs(missed) > TOLERANCE * np.maximum(np.abs(difference), 1.0)


def _blanks(
    tokenizer: Any,
    tokens: Tokens,
    places: Sequence[Sequence[tuple[int | None, int, int]]],
    blank: Blank,
) -> Tokens:
    """The same tokens with the blank one in place of each that is of a text; those that the
    tokenizer added stay.
    """
    number = getattr(tokenizer, f"{blank}_token_id")
    if number is None:
        raise EmomtlError(
            Problem("--blank", f"the tokenizer has no {blank} token", "`mask` or `pad`")
        )
    of_text = np.array([side is not None for row in places for side, _, _ in row], bool)
    return replace(tokens, ids=np.where(of_text, number, tokens.ids).astype(tokens.ids.dtype))


def _read(
    choice: EncoderChoice,
    split: CorpusSplit,
    places: Sequence[Sequence[tuple[int | None, int, int]]],
) -> list[Read]:
    """The words of each text as it was read, and the shares of its tokens in them by characters
    that both have.
    """
    from emomtl.data.tokens import as_read

    texts, pairs = as_read(split, choice.max_tokens, choice.truncation)
    found = []
    for number, row in enumerate(places):
        sides = [texts[number], *([pairs[number]] if pairs is not None else [])]
        units = [unit for side, text in enumerate(sides) for unit in units_of(text, side)]
        owner = [np.full(len(text), -1) for text in sides]
        for place, unit in enumerate(units):
            owner[unit.side][unit.start : unit.end] = place
        shares = np.zeros((len(row), len(units)))
        for token, (side, start, end) in enumerate(row):
            if side is not None:
                inside = owner[side][start:end]
                np.add.at(shares[token], inside[inside >= 0], 1.0)
        sums = shares.sum(axis=1, keepdims=True)
        found.append(Read(units, np.divide(shares, sums, out=shares, where=sums > 0)))
    return found
