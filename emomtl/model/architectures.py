"""What differs between architectures, by transformers' `model_type`: the one table of them.

An architecture that is not listed trains too, without the fast paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
"""Keys of a configuration for probabilities of dropout, as BERT calls them."""

MODERNBERT_DROPOUTS = ("embedding_dropout", "mlp_dropout", "attention_dropout")

POSITION_TABLES = ("position_embeddings", "position_embedding", "embed_positions", "wpe")
"""What architectures call the embedding with a row for each position."""


@dataclass(frozen=True)
class Architecture:
    """How one architecture is configured, and which fast paths it has.

    `dropouts` are the keys of its configuration that the manifest's `dropout` sets.
    `first_position` is the number of a text's first token in the table of positions: 0, or in the
    RoBERTa family the one after the padding token's; None without a table.
    `no_unpadded` says why texts are padded on CUDA (`fast/unpadded.py`), `no_first_token` why the
    last layer is computed for all tokens on a CPU (`fast/first_token.py`); empty where they
    have the fast path.
    """

    dropouts: tuple[str, ...] = DROPOUTS
    first_position: Literal[0, "after padding"] | None = 0
    no_unpadded: str = ""
    no_first_token: str = ""


ROBERTA = Architecture(first_position="after padding")
DEBERTA = Architecture(
    first_position=None,  # as published, with `position_biased_input = false`
    no_unpadded="its attention adds terms for relative positions, which torch's kernels cannot",
    no_first_token="the relative positions of a text's queries and keys are computed together",
)

ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": Architecture(),
    "electra": Architecture(),
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA,
    "modernbert": Architecture(
        dropouts=MODERNBERT_DROPOUTS,
        first_position=None,
        no_unpadded="most of its layers attend to a window of tokens, which torch's kernels cannot",
        no_first_token="one matrix gives the queries, keys and values of all tokens",
    ),
}

UNKNOWN = Architecture(
    dropouts=(*DROPOUTS, *MODERNBERT_DROPOUTS),
    first_position=None,
    no_unpadded="it is not known",
    no_first_token="the names of its layers' parts are not known",
)


def architecture_of(config: Any) -> Architecture:
    """The architecture of a transformers configuration."""
    return ARCHITECTURES.get(str(getattr(config, "model_type", "")), UNKNOWN)


def first_position(config: Any) -> int:
    """The number of a text's first token in the table of positions."""
    after_padding = architecture_of(config).first_position == "after padding"
    return int(config.pad_token_id or 0) + 1 if after_padding else 0


def has_pooler(config: Any) -> bool:
    """Whether the architecture has BERT's pooler, which is built and trained only on request."""
    import inspect

    from transformers import MODEL_MAPPING

    # Funnel has two classes of encoders; for others it is one.
    found = MODEL_MAPPING.get(type(config), None)
    classes = found if isinstance(found, (list, tuple)) else [found]
    for encoder_class in classes:
        if encoder_class is None:
            return False
        if "add_pooling_layer" not in inspect.signature(encoder_class.__init__).parameters:
            return False
    return True
