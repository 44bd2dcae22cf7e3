"""Pretrained encoders and tokenizers, from a verified folder or the hub, never with their code."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.model.architectures import architecture_of, has_pooler
from emomtl.model.folder import CONFIG, check_content, check_folder, check_size, weights_bytes
from emomtl.model.loaded import EncoderChoice, LoadedEncoder
from emomtl.model.pretrained import (
    WrongEncoder,
    load_pretrained,
    read_tensors,
    tensors_of,
    unwrapped,
)
from emomtl.model.probe import check_kind, check_reads_words
from emomtl.safety.hub_access import use_hub
from emomtl.safety.untrusted import is_failure, loads

if TYPE_CHECKING:
    from torch import Tensor

SENTENCEPIECE = {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}
"""Packages that transformers needs to read a tokenizer of SentencePiece, with their modules."""

SENTENCEPIECE_FILES = ("spm.model", "sentencepiece.bpe.model", "spiece.model")


def load_encoder(choice: EncoderChoice, special_tokens: Iterable[str] = ()) -> LoadedEncoder:
    """The pretrained encoder; see `add_tokens` for `special_tokens`."""
    return _load(choice, choice.where, special_tokens, None)


def rebuild_encoder(choice: EncoderChoice, folder: Path, weights: int) -> LoadedEncoder:
    """The encoder of a run, from the configuration and tokenizer that it saved.

    Its weights are random: they come from a checkpoint, where they have `weights` bytes.
    """
    return _load(choice, str(folder), (), weights)


def save_encoder(encoder: LoadedEncoder, folder: Path) -> None:
    """Write configuration and tokenizer, so that a run opens without the pretrained encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.module.config.save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)


def own_tensors(
    choice: EncoderChoice, base: str, wanted: Mapping[str, Iterable[str]]
) -> tuple[dict[str, Tensor], str]:
    """Tensors of the pretrained files beside the encoder, such as its language model's head.

    `wanted` gives by name the names that a tensor may have there, `base` the word that may stand
    before them. All are found, or none is returned, with the reason. EmomtlError where the files do
    not read.
    """
    from safetensors import SafetensorError

    wanted_by_alias = {alias: name for name, aliases in wanted.items() for alias in aliases}
    files = f"the files of '{clean(choice.name)}'"
    try:
        tensors = tensors_of(choice.where, choice.revision or "main")
        try:
            _, renamed = unwrapped(tensors, wanted_by_alias, base, choice.name)
        except WrongEncoder as error:  # the encoder itself loads: only its head is unavailable
            return {}, error.problems[0].found
        found: dict[str, str] = {}
        for name in tensors:
            alias = renamed.get(name, name)
            if alias in wanted_by_alias:
                found[wanted_by_alias[alias]] = name
        if len(found) == len(wanted):
            values = read_tensors(tensors, found.values())
            return {name: values[in_file] for name, in_file in found.items()}, ""
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        finding = f"the head in {files} does not read: {clean(str(error), 200)}"
        raise EmomtlError(Problem("encoder.use", finding, "are the files whole?")) from error
    if not found:
        return {}, f"{files} have no such head"
    missing = ", ".join(sorted(set(wanted) - set(found)))
    return {}, f"{files} have {len(found)} of its {len(wanted)} tensors and lack {missing}"


def add_tokens(module: Any, tokenizer: Any, wanted: Iterable[str]) -> None:
    """Give missing special tokens rows of the embedding, each the mean of the old rows.

    Rows far from all others would dominate the first steps.
    """
    import torch

    tokens = [token for token in wanted if token not in tokenizer.get_vocab()]
    if not tokens:
        return
    tokenizer.add_tokens(tokens, special_tokens=True)
    words = module.get_input_embeddings()
    mean = words.weight.detach().mean(dim=0)
    rows = max(len(tokenizer), words.num_embeddings)
    module.resize_token_embeddings(rows, mean_resizing=False)
    weight = module.get_input_embeddings().weight
    with torch.no_grad():
        for token in tokens:
            weight[tokenizer.convert_tokens_to_ids(token)] = mean


def _load(
    choice: EncoderChoice, where: str, special_tokens: Iterable[str], weights: int | None
) -> LoadedEncoder:
    """An encoder with its pretrained weights, or with random ones where `weights` are given."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    offline = "" if Path(where).is_dir() else use_hub()
    try:
        folder = _checked_folder(where, choice.revision)
        config, tokenizer = _config_and_tokenizer(choice, where)
        module, notes = _module(choice, where, config, folder, weights)
    except EmomtlError:
        raise
    except BaseException as error:  # transformers has no one error for what it cannot read
        if not is_failure(error):
            raise
        reason = clean(str(error).strip().split("\n")[0], 200)
        if offline and isinstance(error, OSError):
            reason = (
                f"the hub cannot be reached ({offline}), and there is no copy of it in the cache"
            )
        finding = f"'{clean(choice.name)}' does not load: {reason}"
        remedy = (
            "`emomtl encoders` lists what is installed; offline, use 'minilm' or a folder with "
            "config.json and model.safetensors"
        )
        raise EmomtlError(Problem("encoder.use", finding, remedy)) from error
    _check_tokenizer(choice.name, tokenizer)
    module.float()
    add_tokens(module, tokenizer, special_tokens)
    last, rows = max(tokenizer.get_vocab().values()), module.get_input_embeddings().num_embeddings
    if last >= rows:
        finding = (
            f"'{clean(choice.name)}' has {rows:,} words, and its tokenizer numbers them up to "
            f"{last:,}"
        )
        remedy = "are tokenizer and weights of one model?"
        raise EmomtlError(Problem("encoder.use", finding, remedy))
    width = choice.layers.width(int(config.hidden_size))
    return LoadedEncoder(module, tokenizer, width, notes=notes)


def _checked_folder(where: str, revision: str | None) -> Path | None:
    """The folder of a model, once it was found to name no code; None for a model of the hub.

    Of that the configurations are downloaded and checked; its weights are not here yet.
    """
    if Path(where).is_dir():
        check_folder(Path(where))
        return Path(where)
    from transformers.utils import cached_file

    for name in (CONFIG, "tokenizer_config.json"):
        must_exist = name == CONFIG
        path = cached_file(
            where,
            name,
            revision=revision or "main",
            _raise_exceptions_for_missing_entries=must_exist,
        )
        if path is not None:
            check_content(Path(path), loads(Path(path).read_bytes()))
    return None


def _config_and_tokenizer(choice: EncoderChoice, where: str) -> tuple[Any, Any]:
    """The configuration of an encoder, with the manifest's dropout, and the tokenizer."""
    from transformers import AutoConfig, AutoTokenizer

    revision = choice.revision or "main"
    config = AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=False)
    check_kind(config, choice.name)
    _check_sentencepiece(choice.name, where, revision)
    tokenizer = AutoTokenizer.from_pretrained(where, revision=revision, trust_remote_code=False)
    choice.layers.check(config)
    if choice.dropout is not None:
        for key in architecture_of(config).dropouts:
            if hasattr(config, key):
                setattr(config, key, choice.dropout)
    return config, tokenizer


def _check_tokenizer(name: str, tokenizer: Any) -> None:
    finding = remedy = ""
    if not getattr(tokenizer, "is_fast", False):
        finding, remedy = "has no fast tokenizer", "use an encoder with tokenizer.json"
    # transformers makes an empty one where it finds none
    elif len(tokenizer.get_vocab()) <= len(tokenizer.all_special_tokens):
        finding = "has no tokenizer, or one without words"
        remedy = "is the folder complete? It needs tokenizer.json"
    if finding:
        raise EmomtlError(Problem("encoder.use", f"'{name}' {finding}", remedy))


def _check_sentencepiece(name: str, where: str, revision: str) -> None:
    """Say what to install where a tokenizer is SentencePiece's alone, as DeBERTa v3's.

    transformers asks for another package.
    """
    from transformers.utils import cached_file

    def exists(file: str) -> bool:
        options = {"revision": revision, "_raise_exceptions_for_missing_entries": False}
        return cached_file(where, file, **options) is not None

    missing = [package for package, module in SENTENCEPIECE.items() if not _installed(module)]
    if exists("tokenizer.json") or not missing:
        return
    for file in SENTENCEPIECE_FILES:
        if exists(file):
            finding = (
                f"'{clean(name)}' has its tokenizer as {file} alone, "
                f"which takes {' and '.join(missing)} to read, not installed here"
            )
            remedy = (
                "`pip install sentencepiece protobuf`, both are needed; or save tokenizer.json "
                "beside it where they are installed"
            )
            raise WrongEncoder(Problem("encoder.use", finding, remedy))


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it stands in is missing
        return False


def _module(
    choice: EncoderChoice, where: str, config: Any, folder: Path | None, weights: int | None
) -> tuple[Any, tuple[str, ...]]:
    """The encoder's module, and notes on its weights.

    A model that is no encoder, or far larger than its files, is refused before it takes memory.
    """
    import torch
    from transformers import AutoModel

    pooler = choice.pooling == "pooler"
    options = {"add_pooling_layer": pooler} if has_pooler(config) else {}
    with torch.device("meta"):
        model = AutoModel.from_config(config, **options)
    check_reads_words(model, config, choice.name)
    if pooler and getattr(model, "pooler", None) is None:
        kind = clean(config.model_type)
        finding = f"'{clean(choice.name)}' has no pooler (it is of the type '{kind}')"
        raise WrongEncoder(Problem("encoder.pooling", finding, '"cls", "mean" or "max"'))
    if weights is not None or folder is not None:
        check_size(model, weights or weights_bytes(folder or Path()))
    if weights is not None:
        return AutoModel.from_config(config, **options), ()
    revision = choice.revision or "main"
    loaded = load_pretrained(where, revision, config, choice.name, choice.pooling, options)
    return loaded.module, loaded.notes
