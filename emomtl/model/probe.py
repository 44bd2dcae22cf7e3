"""A pretrained encoder, tried before it trains: it reads texts of the wanted length, each by itself
and in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.model.architectures import POSITION_TABLES
from emomtl.model.pretrained import WrongEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from emomtl.model.loaded import EncoderChoice, LoadedEncoder

SHORT, LONG = 4, 1024
"""Tokens of the short text that is tried, and the most of the long one beside it."""

SAME = 1e-3
"""How far a text's states may be from those it has alone, as a part of their standard deviation;
rounding makes 1e-6.
"""

OTHERS = (
    "take an encoder such as BERT, RoBERTa, XLM-R, ELECTRA, DeBERTa or ModernBERT (`emomtl"
    " encoders` lists some)"
)

FAILURES = (
    RuntimeError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    NotImplementedError,
    AssertionError,
)
"""What models say where they cannot."""


def check_kind(config: Any, name: str) -> None:
    """Refuse models that are no encoders, by their configuration."""
    kind = str(getattr(config, "model_type", ""))
    if getattr(config, "is_encoder_decoder", False):
        raise _refused(
            name,
            f"is an encoder with a decoder (of the type '{kind}'); emomtl trains encoders alone",
        )
    if getattr(config, "is_decoder", False):
        raise _refused(
            name, f"is set up as a decoder (config.json has `is_decoder`, of the type '{kind}')"
        )


def check_reads_words(module: Any, config: Any, name: str) -> None:
    """Refuse models that do not look tokens up in an embedding: those of pictures, sounds and
    characters.
    """
    kind = str(getattr(config, "model_type", ""))
    try:
        words = module.get_input_embeddings()
    except NotImplementedError:
        words = None
    if not all(hasattr(words, part) for part in ("weight", "num_embeddings")) or not hasattr(
        config, "hidden_size"
    ):
        raise _refused(
            name,
            f"has no embedding of words (it is of the type '{kind}'), so it does not read texts as"
            " tokens",
        )


def most_tokens(module: nn.Module) -> int | None:
    """Tokens of the longest text that an encoder's table of positions has rows for; None where it
    has no table.

    The RoBERTa family numbers positions from the one after its padding token: two rows are never
    used.
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
    words = np.setdiff1d(
        np.arange(min(vocabulary.size, vocabulary.rows)), sorted(vocabulary.special)
    )
    pad = int(loaded.tokenizer.pad_token_id or 0)
    ids = np.where(inside, draw.choice(words, inside.shape), pad)
    return {"input_ids": ids.astype(np.int64), "attention_mask": inside.astype(np.int64)}


def probe(loaded: LoadedEncoder, choice: EncoderChoice) -> tuple[str, ...]:
    """Try an encoder on two texts; WrongEncoder where it cannot be trained on texts in batches, and
    notes on the rest.

    It reads texts of `max_tokens`; a text's states do not depend on the texts beside it; and its
    first token knows its last. Weights that are not finite are left to whoever finds them.
    """
    most = most_tokens(loaded.module)
    lengths = {"encoder.max_tokens": choice.max_tokens}
    lengths |= {f"tasks.{task}.max_tokens": length for task, length in choice.task_tokens}
    beyond = {
        place: length for place, length in lengths.items() if most is not None and length > most
    }
    if beyond:
        has = f"'{clean(choice.name)}' has positions for {most}"
        raise WrongEncoder(
            *(
                Problem(place, f"{length} tokens, and {has}", f"at most {most}")
                for place, length in beyond.items()
            )
        )
    training = loaded.module.training
    loaded.module.eval()
    try:
        with torch.inference_mode():
            _check_states(loaded, choice)
    finally:
        loaded.module.train(training)
    return tuple(_notes(loaded, choice, most))


def _check_states(loaded: LoadedEncoder, choice: EncoderChoice) -> None:
    short = min(SHORT, choice.max_tokens)
    texts = random_texts(loaded, (short, min(choice.most_tokens, LONG)))
    alone = {name: array[:1, :short] for name, array in texts.items()}
    other = {name: array.copy() for name, array in alone.items()}
    other["input_ids"][0, -1] = texts["input_ids"][1, 0]
    try:
        # the longer one first: BigBird turns to another attention at its first short text, for good
        beside, by_itself, changed = (_states(loaded, inputs) for inputs in (texts, alone, other))
    except FAILURES as error:
        reason = clean((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        raise _refused(choice.name, f"does not encode a text of random words: {reason}") from error
    if by_itself.shape[:2] != (1, short):
        raise _refused(
            choice.name,
            f"gives {by_itself.shape[1]} states for {short} tokens; one a token is needed",
        )
    if not (by_itself.isfinite().all() and beside.isfinite().all()):
        return
    spread = float(by_itself.std()) or 1.0
    far = float((by_itself[0] - beside[0, :short]).abs().max()) / spread
    if far > SAME:
        kind = clean(str(loaded.module.config.model_type))  # type: ignore[union-attr]
        found = (
            f"'{clean(choice.name)}' (of the type '{kind}') gives a text other states beside a"
            " longer one than alone"
        )
        found += (
            f", by {far:.2g} of their deviation: its answers would depend on the neighbours in the"
            " batch"
        )
        raise WrongEncoder(Problem("encoder.use", found, OTHERS))
    same_word = int(other["input_ids"][0, -1]) == int(alone["input_ids"][0, -1])
    if short > 1 and not same_word and torch.equal(by_itself[0, 0], changed[0, 0]):
        raise _refused(
            choice.name,
            "reads each token with those before it alone, as decoders do: its first token knows no"
            " text",
        )


def _states(loaded: LoadedEncoder, inputs: Mapping[str, NDArray[np.int64]]) -> Tensor:
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in inputs.items()
    }
    return loaded.module(**tensors).last_hidden_state  # type: ignore[no-any-return]


def _notes(loaded: LoadedEncoder, choice: EncoderChoice, most: int | None) -> Iterator[str]:
    """What fits, and yet may not be meant: more tokens than the encoder was trained on, and a first
    token that is a word.
    """
    about = f"encoder '{clean(choice.name)}'"
    trained_on = getattr(loaded.module.config, "max_position_embeddings", None)  # type: ignore[union-attr]
    if most is None and type(trained_on) is int and 0 < trained_on < choice.most_tokens:
        yield (
            f"{about}: max_tokens is {choice.most_tokens}, and its configuration says that it was"
            f" trained on {trained_on}"
        )
    ids = loaded.tokenizer("a")["input_ids"]
    special = loaded.vocabulary.special
    if choice.pooling != "cls" or (ids and ids[0] in special):
        return
    if ids and ids[-1] == loaded.tokenizer.cls_token_id:
        found = (
            'pooling = "cls" reads a text\'s first token, and this tokenizer puts its [CLS] behind'
            " the text"
        )
        raise WrongEncoder(Problem("encoder.pooling", found, 'pooling = "mean"'))
    yield (
        f'{about}: pooling = "cls" reads the first word of a text, as its tokenizer puts no token'
        " of its own before it"
    )


def _refused(name: str, found: str) -> EmomtlError:
    return WrongEncoder(Problem("encoder.use", f"'{clean(name)}' {found}", OTHERS))
