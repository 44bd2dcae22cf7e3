"""A trial of a pretrained encoder before it trains, on two short texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emomtl.errors import Problem, clean
from emomtl.model.architectures import POSITION_TABLES
from emomtl.model.pretrained import WrongEncoder, wrong_encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from emomtl.model.loaded import EncoderChoice, LoadedEncoder

SHORT, LONG = 4, 1024
"""Tokens of the short text that is tried, and the most of the long one beside it."""

TOLERANCE = 1e-3
"""How far a text's states may be from those it has alone, in standard deviations.

Rounding makes 1e-6.
"""

REMEDY = (
    "take an encoder such as BERT, RoBERTa, XLM-R, ELECTRA, DeBERTa or ModernBERT "
    "(`emomtl encoders` lists some)"
)

FAILURES = (
    *(RuntimeError, IndexError, ValueError, TypeError),
    *(AttributeError, NotImplementedError, AssertionError),
)
"""What models raise where they cannot."""


def check_kind(config: Any, name: str) -> None:
    """Refuse models that are no encoders, by their configuration."""
    kind = f"of the type '{getattr(config, 'model_type', '')}'"
    if getattr(config, "is_encoder_decoder", False):
        finding = f"is an encoder with a decoder ({kind}); emomtl trains encoders alone"
        raise wrong_encoder(name, finding, REMEDY)
    if getattr(config, "is_decoder", False):
        finding = f"is set up as a decoder (config.json has `is_decoder`, {kind})"
        raise wrong_encoder(name, finding, REMEDY)


def check_reads_words(module: Any, config: Any, name: str) -> None:
    """Refuse models without an embedding of tokens: those of pictures, sounds and characters."""
    try:
        words = module.get_input_embeddings()
    except NotImplementedError:
        words = None
    is_embedding = hasattr(words, "weight") and hasattr(words, "num_embeddings")
    if not is_embedding or not hasattr(config, "hidden_size"):
        kind = f"it is of the type '{getattr(config, 'model_type', '')}'"
        finding = f"has no embedding of words ({kind}), so it does not read texts as tokens"
        raise wrong_encoder(name, finding, REMEDY)


def most_tokens(module: nn.Module) -> int | None:
    """Tokens of the longest text for which an encoder has positions; None without a table of them.

    The RoBERTa family numbers positions from the one after its padding token, so that it never uses
    the first two rows.
    """
    most = []
    for name, table in module.named_modules():
        if name.rpartition(".")[2] in POSITION_TABLES and isinstance(table, torch.nn.Embedding):
            first = 0 if table.padding_idx is None else table.padding_idx + 1
            most.append(table.num_embeddings - first)
    return min(most, default=None)


def random_texts(loaded: LoadedEncoder, lengths: Sequence[int]) -> dict[str, NDArray[np.int64]]:
    """Padded texts of random words, always the same: `input_ids`, `attention_mask` (B, T)."""
    vocabulary, draw = loaded.vocabulary, np.random.default_rng(0)
    inside = np.arange(max(lengths)) < np.asarray(lengths)[:, None]
    tokens = np.arange(min(vocabulary.size, vocabulary.rows))
    words = np.setdiff1d(tokens, sorted(vocabulary.special))
    pad = int(loaded.tokenizer.pad_token_id or 0)
    ids = np.where(inside, draw.choice(words, inside.shape), pad)
    return {"input_ids": ids.astype(np.int64), "attention_mask": inside.astype(np.int64)}


def probe(loaded: LoadedEncoder, choice: EncoderChoice) -> tuple[str, ...]:
    """Try an encoder; WrongEncoder where it cannot train on texts in batches. Gives notes.

    It has to read texts of `max_tokens`; a text's states must not depend on the texts beside it;
    its first token must know its last. Weights that are not finite are reported elsewhere.
    """
    most = most_tokens(loaded.module)
    lengths = {"encoder.max_tokens": choice.max_tokens}
    lengths |= {f"tasks.{task}.max_tokens": length for task, length in choice.task_tokens}
    problems: list[Problem] = []
    for place, length in lengths.items():
        if most is not None and length > most:
            finding = f"{length} tokens, and '{clean(choice.name)}' has positions for {most}"
            problems.append(Problem(place, finding, f"at most {most}"))
    if problems:
        raise WrongEncoder(*problems)
    training = loaded.module.training
    loaded.module.eval()
    try:
        with torch.inference_mode():
            _check_states(loaded, choice)
    finally:
        loaded.module.train(training)
    return tuple(_notes(loaded, choice, most))


def _check_states(loaded: LoadedEncoder, choice: EncoderChoice) -> None:
    """Compare the states of a short text beside a longer one, alone, and with another last word."""
    short = min(SHORT, choice.max_tokens)
    texts = random_texts(loaded, (short, min(choice.most_tokens, LONG)))
    text = {name: array[:1, :short] for name, array in texts.items()}
    other_text = {name: array.copy() for name, array in text.items()}
    other_text["input_ids"][0, -1] = texts["input_ids"][1, 0]
    try:
        # the longer one first: BigBird turns to another attention at its first short text, for good
        beside, alone, changed = (_states(loaded, each) for each in (texts, text, other_text))
    except FAILURES as error:
        reason = clean((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        finding = f"does not encode a text of random words: {reason}"
        raise wrong_encoder(choice.name, finding, REMEDY) from error
    if alone.shape[:2] != (1, short):
        finding = f"gives {alone.shape[1]} states for {short} tokens; one a token is needed"
        raise wrong_encoder(choice.name, finding, REMEDY)
    if not (alone.isfinite().all() and beside.isfinite().all()):
        return
    deviation = float(alone.std()) or 1.0
    distance = float((alone[0] - beside[0, :short]).abs().max()) / deviation
    if distance > TOLERANCE:
        finding = (
            f"(of the type '{clean(str(loaded.module.config.model_type))}') gives a text other "
            f"states beside a longer one than alone, by {distance:.2g} of their deviation: "
            "its answers would depend on the neighbours in the batch"
        )
        raise wrong_encoder(choice.name, finding, REMEDY)
    is_same_text = np.array_equal(text["input_ids"], other_text["input_ids"])
    if short > 1 and not is_same_text and torch.equal(alone[0, 0], changed[0, 0]):
        finding = (
            "reads each token with those before it alone, as decoders do: "
            "its first token knows no text"
        )
        raise wrong_encoder(choice.name, finding, REMEDY)


def _states(loaded: LoadedEncoder, inputs: Mapping[str, NDArray[np.int64]]) -> Tensor:
    tensors: dict[str, Tensor] = {}
    for name, array in inputs.items():
        tensors[name] = torch.from_numpy(np.ascontiguousarray(array))
    states: Tensor = loaded.module(**tensors).last_hidden_state
    return states


def _notes(loaded: LoadedEncoder, choice: EncoderChoice, most: int | None) -> Iterator[str]:
    """What fits and may not be meant: more tokens than in pretraining, a first token with words."""
    about = f"encoder '{clean(choice.name)}'"
    trained_on = getattr(loaded.module.config, "max_position_embeddings", None)
    if most is None and type(trained_on) is int and 0 < trained_on < choice.most_tokens:
        finding = f"its configuration says that it was trained on {trained_on}"
        yield f"{about}: max_tokens is {choice.most_tokens}, and {finding}"
    ids = loaded.tokenizer("a")["input_ids"]
    if choice.pooling != "cls" or (ids and ids[0] in loaded.vocabulary.special):
        return
    reads = 'pooling = "cls" reads'
    if ids and ids[-1] == loaded.tokenizer.cls_token_id:
        finding = f"{reads} a text's first token, and this tokenizer puts its [CLS] behind the text"
        raise WrongEncoder(Problem("encoder.pooling", finding, 'pooling = "mean"'))
    reason = "as its tokenizer puts no token of its own before it"
    yield f"{about}: {reads} the first word of a text, {reason}"
