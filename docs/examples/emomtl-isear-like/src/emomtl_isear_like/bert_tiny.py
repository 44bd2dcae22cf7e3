"""The encoder `bert-tiny`: the smallest of Google's compact BERTs, for quick trials on a slow machine."""

from __future__ import annotations

from emomtl import EncoderSource, hookimpl


@hookimpl
def emomtl_encoders() -> dict[str, EncoderSource]:
    """Offer `bert-tiny`, from the hub."""
    return {
        "bert-tiny": EncoderSource(
            hub="google/bert_uncased_L-2_H-128_A-2",
            pooling="mean",
            about="BERT with 2 layers of width 128, lower-cased (Turc et al., 2019; arXiv:1908.08962)",
        )
    }
