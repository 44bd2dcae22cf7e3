"""Short names of base-sized encoders on the Hugging Face hub."""

from __future__ import annotations

from emomtl import EncoderSource, hookimpl

ENCODERS = {
    "bert": (
        "google-bert/bert-base-uncased",
        "BERT base, lower-cased (Devlin et al., 2019; arXiv:1810.04805)",
    ),
    "bert-cased": (
        "google-bert/bert-base-cased",
        "BERT base, cased, as in GoEmotions (Devlin et al., 2019; arXiv:1810.04805)",
    ),
    "roberta": (
        "FacebookAI/roberta-base",
        "RoBERTa base, cased (Liu et al., 2019; arXiv:1907.11692)",
    ),
    "deberta": (
        "microsoft/deberta-v3-base",
        "DeBERTa v3 base, cased (He et al., 2021; arXiv:2111.09543)",
    ),
    "electra": (
        "google/electra-base-discriminator",
        "ELECTRA base discriminator, lower-cased (Clark et al., 2020; arXiv:2003.10555)",
    ),
    "modernbert": (
        "answerdotai/ModernBERT-base",
        "ModernBERT base, cased (Warner et al., 2024; arXiv:2412.13663)",
    ),
    "mbert": (
        "google-bert/bert-base-multilingual-cased",
        "multilingual BERT base, cased, 104 languages (Devlin et al., 2019; arXiv:1810.04805)",
    ),
    "xlm-roberta": (
        "FacebookAI/xlm-roberta-base",
        "XLM-R base, cased, 100 languages (Conneau et al., 2020; arXiv:1911.02116)",
    ),
    "mdeberta": (
        "microsoft/mdeberta-v3-base",
        "multilingual DeBERTa v3 base, cased, 100 languages (He et al., 2021; arXiv:2111.09543)",
    ),
    "mmbert": (
        "jhu-clsp/mmBERT-base",
        "mmBERT base, a ModernBERT of 1,833 languages (Marone et al., 2025; arXiv:2509.06888)",
    ),
}
"""By short name, the hub's name, and what the encoder is, with its paper."""


@hookimpl
def emomtl_encoders() -> dict[str, EncoderSource]:
    """Offer them without a fixed revision; the first token's vector stands for the text."""
    sources = {}
    for name, (hub, about) in ENCODERS.items():
        sources[name] = EncoderSource(hub=hub, pooling="cls", about=about)
    return sources
