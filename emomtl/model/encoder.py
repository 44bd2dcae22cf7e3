"""Pretrained encoders and tokenizers: loaded from a verified folder or the hub, never with code from either."""

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
from emomtl.model.pretrained import WrongEncoder, load_pretrained, read_tensors, tensors_of, unwrapped
from emomtl.model.probe import check_kind, check_reads_words
from emomtl.safety.hub_access import use_hub
from emomtl.safety.untrusted import is_failure, loads

if TYPE_CHECKING:
    from torch import Tensor


SENTENCEPIECE = {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}
"""Packages that transformers needs to read a tokenizer of SentencePiece, with the module of each."""

SENTENCEPIECE_FILES = ("spm.model", "sentencepiece.bpe.model", "spiece.model")


def load_encoder(choice: EncoderChoice, special_tokens: Iterable[str] = ()) -> LoadedEncoder:
    """The pretrained encoder; `special_tokens` get rows of their own in the embedding, set to its mean."""
    return _load(choice, choice.where, special_tokens, None)


def rebuild_encoder(choice: EncoderChoice, folder: Path, weights: int) -> LoadedEncoder:
    """The encoder of a run, from the configuration and tokenizer that it saved; the weights come from a checkpoint, and have
    so many bytes.
    """
    return _load(choice, str(folder), (), weights)


def own_tensors(choice: EncoderChoice, base: str, wanted: Mapping[str, Iterable[str]]) -> tuple[dict[str, Tensor], str]:
    """Tensors of the pretrained encoder's own files that are no part of it, such as its language model's head.

    `wanted` gives for each name the names that it may have there, `base` is the word that may stand
    before them. All are found, or none is returned, with what to say of that. EmomtlError where the
    files do not read.
    """
    from safetensors import SafetensorError

    others = {other: name for name, names in wanted.items() for other in names}
    try:
        tensors = tensors_of(choice.where, choice.revision or "main")
        try:
            _, renamed = unwrapped(tensors, others, base, choice.name)
        except WrongEncoder as error:  # the encoder itself is whole: its head is not to be had, and that is all
            return {}, error.problems[0].found
        there = {others[renamed.get(name, name)]: name for name in tensors if renamed.get(name, name) in others}
        if len(there) == len(wanted):
            values = read_tensors(tensors, there.values())
            return {name: values[own] for name, own in there.items()}, ""
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        found = f"the head in the files of '{clean(choice.name)}' does not read: {clean(str(error), 200)}"
        raise EmomtlError(Problem("encoder.use", found, "are the files whole?")) from error
    if not there:
        return {}, f"the files of '{clean(choice.name)}' have no such head"
    lacking = ", ".join(sorted(set(wanted) - set(there)))
    return {}, f"the files of '{clean(choice.name)}' have {len(there)} of its {len(wanted)} tensors and lack {lacking}"


def save_encoder(encoder: LoadedEncoder, folder: Path) -> None:
    """Write configuration and tokenizer, so that a run can be opened without the pretrained encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.module.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
    encoder.tokenizer.save_pretrained(folder)


def _load(choice: EncoderChoice, where: str, special_tokens: Iterable[str], weights: int | None) -> LoadedEncoder:
    """An encoder with its pretrained weights; where those come later, and have `weights` bytes, with any."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    away = "" if Path(where).is_dir() else use_hub()
    try:
        folder = _looked_through(where, choice.revision)
        config, tokenizer = _config_and_tokenizer(choice, where)
        module, notes = _module(choice, where, config, folder, weights)
    except EmomtlError:
        raise
    except BaseException as error:  # transformers and its tokenizers have no one error for what they cannot read
        if not is_failure(error):
            raise
        reason = clean(str(error).strip().split("\n")[0], 200)
        if away and isinstance(error, OSError):
            reason = f"the hub cannot be reached ({away}), and there is no copy of it in the cache"
        remedy = (
            "`emomtl encoders` lists what is installed; offline, use 'minilm' or a folder with config.json and model.safetensors"
        )
        raise EmomtlError(Problem("encoder.use", f"'{clean(choice.name)}' does not load: {reason}", remedy)) from error
    if not getattr(tokenizer, "is_fast", False):
        raise EmomtlError(Problem("encoder.use", f"'{choice.name}' has no fast tokenizer", "use an encoder with tokenizer.json"))
    if len(tokenizer.get_vocab()) <= len(tokenizer.all_special_tokens):  # transformers makes an empty one where it finds none
        remedy = "is the folder complete? It needs tokenizer.json"
        raise EmomtlError(Problem("encoder.use", f"'{choice.name}' has no tokenizer, or one without words", remedy))
    module.float()
    add_tokens(module, tokenizer, special_tokens)
    last, rows = max(tokenizer.get_vocab().values()), module.get_input_embeddings().num_embeddings
    if last >= rows:
        found = f"'{clean(choice.name)}' has {rows:,} words, and its tokenizer numbers them up to {last:,}"
        raise EmomtlError(Problem("encoder.use", found, "are tokenizer and weights of one model?"))
    return LoadedEncoder(module, tokenizer, choice.layers.width(int(config.hidden_size)), notes=notes)


def _config_and_tokenizer(choice: EncoderChoice, where: str) -> tuple[Any, Any]:
    """The configuration, with the manifest's dropout, and the tokenizer, of a model that is an encoder."""
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


def _check_sentencepiece(name: str, where: str, revision: str) -> None:
    """Say what to install where a tokenizer is SentencePiece's alone, as DeBERTa v3's: transformers asks for something else."""
    from transformers.utils import cached_file

    def there(file: str) -> bool:
        return cached_file(where, file, revision=revision, _raise_exceptions_for_missing_entries=False) is not None

    if there("tokenizer.json"):
        return
    lacking = [package for package, module in SENTENCEPIECE.items() if not _installed(module)]
    file = next((file for file in SENTENCEPIECE_FILES if lacking and there(file)), None)
    if file is not None:
        missing = " and ".join(lacking)
        found = f"'{clean(name)}' has its tokenizer as {file} alone, which takes {missing} to read, not installed here"
        remedy = (
            "`pip install sentencepiece protobuf`, both are needed; or save tokenizer.json beside it where they are installed"
        )
        raise WrongEncoder(Problem("encoder.use", found, remedy))


def _installed(module: str) -> bool:
    """Whether a module is there; one inside a package that is not, is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _module(
    choice: EncoderChoice, where: str, config: Any, folder: Path | None, weights: int | None
) -> tuple[Any, tuple[str, ...]]:
    """The encoder's module and what there is to say of its weights; a size beyond that of its files is refused first."""
    import torch
    from transformers import AutoModel

    extra = {"add_pooling_layer": choice.pooling == "pooler"} if has_pooler(config) else {}
    with torch.device("meta"):
        model = AutoModel.from_config(config, **extra)
    check_reads_words(model, config, choice.name)
    if choice.pooling == "pooler" and getattr(model, "pooler", None) is None:
        found = f"'{clean(choice.name)}' has no pooler (it is of the type '{clean(config.model_type)}')"
        raise WrongEncoder(Problem("encoder.pooling", found, '"cls", "mean" or "max"'))
    if weights is not None or folder is not None:
        check_size(model, weights or weights_bytes(folder or Path()))
    if weights is not None:
        return AutoModel.from_config(config, **extra), ()
    loaded = load_pretrained(where, choice.revision or "main", config, choice.name, choice.pooling, extra)
    return loaded.module, loaded.notes


def _looked_through(where: str, revision: str | None) -> Path | None:
    """The folder of a model, after it was found to hold no code; of the hub's models the configurations are fetched for that.

    None for a model of the hub, whose weights are not here yet.
    """
    if Path(where).is_dir():
        check_folder(Path(where))
        return Path(where)
    from transformers.utils import cached_file

    for name in (CONFIG, "tokenizer_config.json"):
        path = cached_file(where, name, revision=revision or "main", _raise_exceptions_for_missing_entries=name == CONFIG)
        if path is not None:
            check_content(Path(path), loads(Path(path).read_bytes()))
    return None


def add_tokens(module: Any, tokenizer: Any, wanted: Iterable[str]) -> None:
    """Special tokens that are lacking get new rows of the embedding, each the mean of the old: no surprise in the first step."""
    import torch

    tokens = [token for token in wanted if token not in tokenizer.get_vocab()]
    if not tokens:
        return
    tokenizer.add_tokens(tokens, special_tokens=True)
    mean = module.get_input_embeddings().weight.detach().mean(dim=0)
    module.resize_token_embeddings(max(len(tokenizer), module.get_input_embeddings().num_embeddings), mean_resizing=False)
    weight = module.get_input_embeddings().weight
    with torch.no_grad():
        for token in tokens:
            weight[tokenizer.convert_tokens_to_ids(token)] = mean
