"""Over every architecture that a tiny configuration allows: a text's answer depends on it alone, in
training and in scoring.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emomtl import EmomtlError
from emomtl.model.architectures import ARCHITECTURES, architecture_of
from emomtl.model.encoder import load_encoder
from emomtl.model.fast.cpu import skip_unread, use_cpu_kernels
from emomtl.model.fast.unpadded import choose_unpadded
from emomtl.model.loaded import EncoderChoice, LoadedEncoder
from emomtl.model.network import MultiTaskModel
from emomtl.model.probe import most_tokens, probe

POSITIONS = 40
SMALL = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
}
NUMBERED = {
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
    "mask_token_id": 4,
}
XLM = {"emb_dim": 16, "n_layers": 2, "n_heads": 2, "pad_index": 0, "n_langs": 1}

ENCODERS: dict[str, dict[str, Any]] = {
    "albert": SMALL | {"embedding_size": 8},
    "bert": SMALL,
    "bert-generation": SMALL,
    "big_bird": (
        SMALL | {"block_size": 4, "num_random_blocks": 1, "attention_type": "original_full"}
    ),
    "camembert": SMALL | NUMBERED,
    "data2vec-text": SMALL | NUMBERED,
    "deberta": SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "deberta-v2": (
        SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
    ),
    "distilbert": {"n_layers": 2, "n_heads": 2, "dim": 16, "hidden_dim": 32},
    "electra": SMALL | {"embedding_size": 8},
    "ernie": SMALL,
    "eurobert": SMALL | NUMBERED | {"num_key_value_heads": 2},
    "flaubert": XLM,
    "gte": SMALL,
    "layoutlm": SMALL,
    "longformer": SMALL | {"attention_window": [4, 4]},
    "luke": SMALL | {"entity_vocab_size": 8, "entity_emb_size": 8},
    "markuplm": SMALL,
    "megatron-bert": SMALL,
    "modernbert": SMALL | NUMBERED | {"local_attention": 8, "global_attn_every_n_layers": 2},
    "mpnet": SMALL,
    "nomic_bert": SMALL,
    "rembert": SMALL | {"input_embedding_size": 8, "output_embedding_size": 8},
    "roberta": SMALL | NUMBERED,
    "roberta-prelayernorm": SMALL | NUMBERED,
    "roc_bert": SMALL | {"pronunciation_embed_dim": 8, "shape_embed_dim": 8},
    "roformer": SMALL,
    "splinter": SMALL,
    "squeezebert": (
        SMALL
        | {
            "embedding_size": 16,
            **dict.fromkeys([f"{part}_groups" for part in ("q", "k", "v", "output")], 1),
        }
    ),
    "xlm": XLM,
    "xlm-roberta": SMALL | NUMBERED,
    "xlm-roberta-xl": SMALL | NUMBERED,
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32},
    "xmod": SMALL | NUMBERED | {"languages": ["en_XX"], "default_language": "en_XX"},
}
"""Those that train, with the configuration of a tiny one."""

FROM_ONE = (
    "camembert",
    "data2vec-text",
    "markuplm",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)
"""Those whose first position is the one behind the padding's, which is 0 here."""

NO_ENCODERS: dict[str, tuple[dict[str, Any], str]] = {
    "t5": (
        {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 32},
        "is an encoder with a decoder",
    ),
    "bart": (
        {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32},
        "is an encoder with a decoder",
    ),
    "gpt2": (
        {"n_embd": 16, "n_layer": 2, "n_head": 2},
        "reads each token with those before it alone",
    ),
    "llama": (SMALL | {"num_key_value_heads": 2}, "reads each token with those before it alone"),
    "modernbert-decoder": (SMALL | NUMBERED, "reads each token with those before it alone"),
    "mamba": (
        {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
        "reads each token with those before it alone",
    ),
    "fnet": (SMALL, "its answers would depend on the neighbours in the batch"),
    "yoso": (SMALL, "its answers would depend on the neighbours in the batch"),
    "convbert": (
        SMALL | {"embedding_size": 8, "conv_kernel_size": 3},
        "its answers would depend on the neighbours in the batch",
    ),
    "mobilebert": (
        SMALL | {"embedding_size": 8, "intra_bottleneck_size": 16},
        "depend on the neighbours in the batch",
    ),
    "big_bird": (
        SMALL | {"block_size": 2, "num_random_blocks": 1},
        "its answers would depend on the neighbours in the batch",
    ),
    "nystromformer": (SMALL, "its answers would depend on the neighbours in the batch"),
    "canine": (SMALL, "has no embedding of words"),
    "vit": (SMALL, "has no embedding of words"),
}
"""Those that are refused, and with what words."""


def folder_of(family: str, config: dict[str, Any], encoder: Path, folder: Path) -> Path:
    """A folder with a random encoder of a family, and the tiny encoder's tokenizer; weights are
    large, so that nothing drowns.
    """
    from transformers import AutoConfig, AutoModel

    shutil.copytree(encoder, folder)
    (folder / "model.safetensors").unlink()
    words = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    sizes = {} if family in ("vit", "canine") else {"vocab_size": words}
    sizes |= (
        {}
        if family == "xlnet"
        else {"max_position_embeddings": POSITIONS, "n_positions": POSITIONS}
    )
    torch.manual_seed(0)
    made = AutoModel.from_config(AutoConfig.for_model(family, **sizes, **config))
    for parameter in made.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
    made.save_pretrained(folder)
    return folder


def choice(folder: Path, pooling: str = "mean", max_tokens: int = 24) -> EncoderChoice:
    return EncoderChoice("mine", str(folder), None, pooling, max_tokens)


def batch(texts: Sequence[Tensor]) -> dict[str, Tensor]:
    ids = nn.utils.rnn.pad_sequence(list(texts), batch_first=True)
    lengths = torch.tensor([len(text) for text in texts])
    return {
        "input_ids": ids,
        "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long(),
    }


def texts_of(loaded: LoadedEncoder, lengths: Sequence[int]) -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [
        torch.randint(5, loaded.vocabulary.size, (length,), generator=draw) for length in lengths
    ]


def close(found: Tensor, wanted: Tensor) -> bool:
    return float((found - wanted).detach().abs().max()) <= 1e-4 * float(wanted.std())


@pytest.mark.parametrize("family", ENCODERS)
def test_no_path_lets_an_output_depend_on_its_neighbours(
    encoder: Path, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_encoder(choice(folder_of(family, ENCODERS[family], encoder, tmp_path / "model")))
    assert probe(loaded, choice(tmp_path)) == ()
    module: Any = loaded.module
    texts = texts_of(loaded, (5, 9, 24, 2))
    for pooling in ("mean", "cls", "max"):
        model = MultiTaskModel(module, pooling, {}).eval()
        with torch.no_grad():
            alone = torch.cat([model.encode(batch([text])) for text in texts])
            for order in ([0, 1, 2, 3], [3, 0], [2, 1]):
                assert close(model.encode(batch([texts[i] for i in order])), alone[order]), pooling
    # in training, by our layers for the CPU, with every dropout taken for none
    monkeypatch.setattr("emomtl.model.fast.cpu.masked", lambda x, p: x)
    monkeypatch.setattr(
        nn.functional, "dropout", lambda input, p=0.5, training=True, inplace=False: input
    )
    model = MultiTaskModel(module, "cls", {})
    few = batch(texts)
    before = module.config._attn_implementation
    assert use_cpu_kernels(model, module, lambda: model.encode(few)) == ""
    skip_unread(model, first_token=True, word_gradient=True)
    model.train()
    with torch.no_grad():
        wanted = torch.cat([model.eval().encode(batch([text])) for text in texts])
    trained = model.train().encode(few)
    assert close(trained, wanted)
    trained.square().sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
    if not architecture_of(module.config).no_unpadded:
        module.set_attn_implementation(before)
        path, why = choose_unpadded("on", module, "cpu", "fp32", False)
        assert path is not None, why


@pytest.mark.parametrize("family", sorted({*ENCODERS} - {"xlnet"}))
def test_the_longest_text_is_that_of_the_table_of_positions(
    encoder: Path, tmp_path: Path, family: str
) -> None:
    loaded = load_encoder(choice(folder_of(family, ENCODERS[family], encoder, tmp_path / "model")))
    most = most_tokens(loaded.module)
    no_table = {"deberta", "deberta-v2", "eurobert", "gte", "modernbert", "nomic_bert"}
    if most is None:
        assert family in no_table
        probe(loaded, choice(tmp_path, max_tokens=POSITIONS + 1))
        return
    first = {"longformer": 2, "luke": 2, "mpnet": 2, **dict.fromkeys(FROM_ONE, 1)}.get(family, 0)
    assert most == POSITIONS - first
    assert probe(loaded, choice(tmp_path, max_tokens=most)) == ()
    with pytest.raises(EmomtlError) as caught:
        probe(loaded, choice(tmp_path, max_tokens=most + 1))
    (problem,) = caught.value.problems
    assert (problem.place, problem.remedy) == ("encoder.max_tokens", f"at most {most}")
    assert problem.found == f"{most + 1} tokens, and 'mine' has positions for {most}"
    with pytest.raises((IndexError, RuntimeError)), torch.no_grad():
        loaded.module.eval()(**batch(texts_of(loaded, [most + 1])))


@pytest.mark.parametrize("family", NO_ENCODERS)
def test_what_is_no_encoder_is_refused_with_one_plain_error(
    encoder: Path, tmp_path: Path, family: str
) -> None:
    config, words = NO_ENCODERS[family]
    folder = folder_of(family, config, encoder, tmp_path / "model")
    with pytest.raises(EmomtlError) as caught:
        probe(load_encoder(choice(folder)), choice(folder))
    (problem,) = caught.value.problems
    assert problem.place == "encoder.use"
    assert words in problem.found
    assert problem.found.startswith("'mine' ")
    assert "take an encoder such as BERT" in problem.remedy


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_the_dropouts_of_an_architecture_are_those_of_its_configuration(family: str) -> None:
    from transformers import AutoConfig

    config = AutoConfig.for_model(family)
    known = {
        key
        for key in config.to_dict()
        if "dropout" in key and not key.startswith(("classifier", "pooler", "summary"))
    }
    assert set(architecture_of(config).dropouts) == known


@pytest.mark.parametrize("family", sorted({*ARCHITECTURES} & {*ENCODERS}))
def test_an_architecture_without_a_first_position_has_no_table(
    encoder: Path, tmp_path: Path, family: str
) -> None:
    published = {"position_biased_input": False} if family.startswith("deberta") else {}
    loaded = load_encoder(
        choice(folder_of(family, ENCODERS[family] | published, encoder, tmp_path / "model"))
    )
    assert (ARCHITECTURES[family].first_position is None) == (most_tokens(loaded.module) is None)
    assert (ARCHITECTURES[family].first_position == "after padding") == (family in FROM_ONE)
