"""A tiny encoder with random weights, so that tests train in seconds, offline."""

from __future__ import annotations

import string
from pathlib import Path

WORDS = """
the a an and or but not no yes i you he she it we they me him her us them my your his our their this
that these those is am are was were be been being have has had do does did will would can could
should may might must of in on at to from for with without by about after before over under between
when while then now today yesterday tomorrow morning night day week year what who how why where
which all some any more most very so too just only still again never always often feel felt feeling
feelings love loved hate hated happy sad angry afraid scared glad sorry ashamed guilty proud worried
calm tired lonely good bad great awful nice terrible wonderful best worst better worse new old big
little long first last friend friends mother father sister brother child children family people man
woman boy girl dog cat home house room school work job boss team car train bus street city food
dinner film movie book music game phone letter party birthday wedding exam money time life world
thing things something nothing everything went got came saw heard told said asked thought knew made
took gave found lost broke left forgot laughed cried smiled shouted waited won failed died thank
thanks please hope wish want wanted need help because if than as up down out off back away there
here really
"""
"""Common English words, each a token of its own; all others are spelt in letters."""


def tiny_encoder(folder: Path) -> Path:
    """Write a BERT of 2 layers, 2 heads and width 32 with random weights; return the folder.

    It has a WordPiece tokenizer. The weights are the same every time. Name the folder in a
    manifest: `encoder = { use = "FOLDER" }`.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = string.ascii_lowercase + string.digits
    pieces = [f"##{letter}" for letter in letters]
    words = [*special, *letters, *pieces, *string.punctuation, *WORDS.split()]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    folder.mkdir(parents=True, exist_ok=True)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        model_max_length=128,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    fast.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder
