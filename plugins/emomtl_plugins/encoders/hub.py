"""Short names of base-sized encoders on the Hugging Face hub; the first token's vector stands for the text."""

from __future__ import annotations

from emomtl import EncoderSource, hookimpl


@hookimpl
def emomtl_encoders() -> dict[str, EncoderSource]:
    """Offer base-sized encoders of English and of many languages, none with a fixed revision."""
    return {
        "bert": EncoderSource(
            hub="google-bert/bert-base-uncased",
            pooling="cls",
            about="BERT base, lower-cased (Devlin et al., 2019; arXiv:1810.04805)",
        ),
        "bert-cased": EncoderSource(
            hub="google-bert/bert-base-cased",
            pooling="cls",
            about="BERT base, cased, as in the GoEmotions paper (Devlin et al., 2019; arXiv:1810.04805)",
        ),
        "roberta": EncoderSource(
            hub="FacebookAI/roberta-base", pooling="cls", about="RoBERTa base, cased (Liu et al., 2019; arXiv:1907.11692)"
        ),
        "deberta": EncoderSource(
            hub="microsoft/deberta-v3-base", pooling="cls", about="DeBERTa v3 base, cased (He et al., 2021; arXiv:2111.09543)"
        ),
        "electra": EncoderSource(
            hub="google/electra-base-discriminator",
            pooling="cls",
            about="ELECTRA base discriminator, lower-cased (Clark et al., 2020; arXiv:2003.10555)",
        ),
        "modernbert": EncoderSource(
            hub="answerdotai/ModernBERT-base",
            pooling="cls",
            about="ModernBERT base, cased (Warner et al., 2024; arXiv:2412.13663)",
        ),
        "mbert": EncoderSource(
            hub="google-bert/bert-base-multilingual-cased",
            pooling="cls",
            about="multilingual BERT base, cased, 104 languages (Devlin et al., 2019; arXiv:1810.04805)",
        ),
        "xlm-roberta": EncoderSource(
            hub="FacebookAI/xlm-roberta-base",
            pooling="cls",
            about="XLM-R base, cased, 100 languages (Conneau et al., 2020; arXiv:1911.02116)",
        ),
        "mdeberta": EncoderSource(
            hub="microsoft/mdeberta-v3-base",
            pooling="cls",
            about="multilingual DeBERTa v3 base, cased, 100 languages (He et al., 2021; arXiv:2111.09543)",
        ),
        "mmbert": EncoderSource(
            hub="jhu-clsp/mmBERT-base",
            pooling="cls",
            about="mmBERT base, a ModernBERT of 1,833 languages (Marone et al., 2025; arXiv:2509.06888)",
        ),
    }
