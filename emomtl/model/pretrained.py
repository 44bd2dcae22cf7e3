"""Pretrained weights, held by name against the encoder that is to have them: none stays random
without a word.

transformers fills what a file lacks with random numbers and warns in a table. Here the table is
read: known wrappers around the names are stripped, and whatever of the encoder is missing all the
same, or has another shape, is an error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem, clean, quoted
from emomtl.safety.untrusted import loads

if TYPE_CHECKING:
    from torch import Tensor, nn

INNER_WRAPPERS = (
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
)
"""Parts of a tensor's name that torch.compile, FSDP and DeepSpeed put in, at any place; no model
has them.
"""

OUTER_WRAPPERS = frozenset(
    {"module", "model", "encoder", "backbone", "transformer", "auto_model", "0", "1"}
)
"""Parts that stand before all names of an encoder inside of another module: DataParallel's,
Lightning's, usual ones.
"""

OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""What BERT's first files call the parts of a layer norm; transformers knows them."""

FLOATING = ("F64", "F32", "F16", "BF16")
"""What safetensors calls numbers that are weights as they stand, and not codes for some."""

ADAPTER = re.compile(r"\.(lora_[A-Za-z_]+|base_layer|adapters)\.")
"""What is in the names of adapters that were saved beside the weights that they change."""

NAMED = 3
"""Tensors that a message names."""

REMEDY = (
    "save the encoder alone with its own `save_pretrained`; are config.json and the weights of one"
    " model?"
)


class WrongEncoder(EmomtlError):
    """A file of weights that is not, or not wholly, the encoder's."""


@dataclass(frozen=True)
class Pretrained:
    """An encoder with the weights of its files, and what there is to say of them."""

    module: nn.Module
    notes: tuple[str, ...]


def load_pretrained(
    where: str, revision: str, config: Any, name: str, pooling: str, extra: Mapping[str, Any]
) -> Pretrained:
    """The encoder of a folder or hub id with all of its weights.

    WrongEncoder counts and names the tensors that lack or do not fit. A pooler may lack, which is
    noted. `name` is the manifest's name of the encoder, `extra` what its class is given.
    """
    options = {"config": config, "revision": revision, "trust_remote_code": False, **extra}
    module, info = _load(where, options, {})
    base = str(getattr(module, "base_model_prefix", ""))
    tensors = tensors_of(where, revision)
    prefix, renamed = "", dict[str, str]()
    if _missing(info):
        prefix, renamed = unwrapped(tensors, info["missing_keys"], base, name)
        if renamed:
            module, info = _load(where, options, renamed)
    _check(name, module, info)
    _check_file(name, module, tensors, (prefix, f"{base}."))
    return Pretrained(module, tuple(_notes(name, module, info, pooling, renamed)))


def tensors_of(where: str, revision: str) -> dict[str, Path]:
    """The names of all tensors in a model's safetensors files, one or several, with their file."""
    from safetensors import safe_open
    from transformers.utils import cached_file

    def path_of(name: str) -> Path | None:
        found = cached_file(
            where, name, revision=revision, _raise_exceptions_for_missing_entries=False
        )
        return None if found is None else Path(found)

    paths = [path_of("model.safetensors")]
    if paths[0] is None and (index := path_of("model.safetensors.index.json")) is not None:
        weight_map = loads(index.read_bytes())["weight_map"]
        paths = [path_of(name) for name in sorted(set(weight_map.values()))]
    tensors: dict[str, Path] = {}
    for path in paths:
        if path is not None:
            with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
                tensors |= dict.fromkeys(file.keys(), path)
    return tensors


def read_tensors(tensors: Mapping[str, Path], names: Iterable[str]) -> dict[str, Tensor]:
    """Some tensors of a model's files, as float32."""
    from safetensors import safe_open

    values: dict[str, Tensor] = {}
    for name in names:
        with safe_open(tensors[name], framework="pt") as file:  # type: ignore[no-untyped-call]
            values[name] = file.get_tensor(name).float()
    return values


def unwrapped(
    names: Iterable[str], wanted: Collection[str], base: str, encoder: str
) -> tuple[str, dict[str, str]]:
    """The wrapper before the wanted names of a file, and the names that are other without wrappers.

    `base` is the word that transformers itself strips, such as `bert`. Where two wrappers hold the
    same tensors (two towers), or the wrapper is not a known one, WrongEncoder says so: which of
    them is the encoder is not for us to guess. Nothing where no wrapper has what is wanted.
    """
    bare = {name: _without_inner(name) for name in names}
    counts = Counter(prefix for name in bare.values() for prefix in _prefixes(name, wanted))
    if not counts:
        return "", {}
    most = max(counts.values())
    best = sorted(prefix for prefix, count in counts.items() if count == most)
    known = OUTER_WRAPPERS | {base}
    if len(best) > 1 or not set(best[0].split(".")[:-1]) <= known:
        shown = " and under ".join(quoted(prefix) for prefix in best[:NAMED])
        found = (
            f"'{clean(encoder)}' does not load: its file has {most} tensors of the encoder under"
            f" {shown}"
        )
        raise WrongEncoder(Problem("encoder.use", found, REMEDY))
    prefix = best[0]
    inside = ((name, short) for name, short in bare.items() if short.startswith(prefix))
    renamed = {name: short.removeprefix(prefix) for name, short in inside}
    return prefix, {name: short for name, short in renamed.items() if name != short}


def _load(where: str, options: Mapping[str, Any], renamed: Mapping[str, str]) -> tuple[Any, Any]:
    """What transformers loads, and its account of tensors; `renamed` are names in the files."""
    from transformers import AutoModel

    mapping = {f"^{re.escape(name)}$": short for name, short in renamed.items()}
    return AutoModel.from_pretrained(  # type: ignore[no-any-return]
        where,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are in the account too, and refused with the others
        output_loading_info=True,
        key_mapping=mapping or None,
        **options,
    )


def _missing(info: Mapping[str, Any]) -> list[str]:
    """Tensors that are random now and ought not to be: all but a pooler's."""
    return sorted(name for name in info["missing_keys"] if not name.startswith("pooler."))


def _check(encoder: str, module: Any, info: Mapping[str, Any]) -> None:
    """Refuse an encoder of which tensors lack, have another shape, or are changed by adapters."""
    total = len(module.state_dict())
    faults = []
    if missing := _missing(info):
        there = len(info["unexpected_keys"])
        others = f"; it has {there} others: {_some(info['unexpected_keys'])}" if there else ""
        faults.append(
            f"{len(missing)} of the encoder's {total} tensors are not in its file:"
            f" {_some(missing)}{others}"
        )
    if mismatched := info["mismatched_keys"]:
        shapes = (
            f"{name} {tuple(there)} and not {tuple(here)}" for name, there, here in mismatched
        )
        faults.append(
            f"{len(mismatched)} of the encoder's {total} tensors have another shape:"
            f" {_some(shapes)}"
        )
    if adapters := [name for name in info["unexpected_keys"] if ADAPTER.search(name)]:
        faults.append(
            f"its file has {len(adapters)} tensors of adapters that are not merged:"
            f" {_some(adapters)}"
        )
    if info["error_msgs"]:
        faults.append(clean(str(info["error_msgs"][0]), 200))
    if faults:
        problems = (
            Problem("encoder.use", f"'{clean(encoder)}' does not load: {fault}", REMEDY)
            for fault in faults
        )
        raise WrongEncoder(*problems)


def _check_file(
    encoder: str, module: Any, tensors: Mapping[str, Path], prefixes: Iterable[str]
) -> None:
    """Refuse two tensors for one place, and weights that are kept as codes (int8, fp8): as numbers
    they are other weights.
    """
    from safetensors import safe_open

    state = module.state_dict()
    claims: dict[str, list[str]] = {}
    codes: dict[str, str] = {}
    for path in sorted(set(tensors.values())):
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            for name in file.keys():  # noqa: SIM118  # a file is no mapping
                short = _without_inner(name)
                for prefix in prefixes:
                    short = short.removeprefix(prefix)
                place = _new_spelling(short)
                if place not in state:
                    continue
                claims.setdefault(place, []).append(name)
                kind = file.get_slice(name).get_dtype()
                if state[place].is_floating_point() and kind not in FLOATING:
                    codes[name] = kind
    twice = [" and ".join(names) for names in claims.values() if len(names) > 1]
    if twice:
        found = (
            f"'{clean(encoder)}' does not load: its file has two tensors for {len(twice)} of its"
            f" places: {_some(twice)}"
        )
        raise WrongEncoder(Problem("encoder.use", found, REMEDY))
    if codes:
        shown = f"{_some(codes)}, {min(codes.values())}"
        found = (
            f"'{clean(encoder)}' does not load: {len(codes)} of its tensors are quantised ({shown})"
        )
        raise WrongEncoder(
            Problem("encoder.use", found, "take the model's files in fp32, fp16 or bf16")
        )


def _notes(
    encoder: str, module: Any, info: Mapping[str, Any], pooling: str, renamed: Mapping[str, str]
) -> Iterator[str]:
    """What is to be said of an encoder that loaded."""
    about = f"encoder '{clean(encoder)}'"
    if renamed:
        example = min(renamed)
        yield (
            f"{about}: a wrapper was stripped from {len(renamed)} names of tensors"
            f" ({clean(example, 120)})"
        )
    if any(name.startswith("pooler.") for name in info["missing_keys"]):
        if pooling == "pooler":
            yield (
                f"{about}: its file has no pooler, so the pooler begins with random weights, as a"
                " head does"
            )
        else:
            yield f"{about}: its file has no pooler, and none is read"
    patterns = {_pattern(name) for name in module.state_dict()}
    left = sorted(name for name in info["unexpected_keys"] if "pooler." not in name)
    deeper = [name for name in left if _pattern(name) in patterns]
    if deeper:
        yield (
            f"{about}: config.json has fewer layers than the file: {len(deeper)} tensors of it are"
            f" left out ({_some(deeper)})"
        )
    if heads := [name for name in left if name not in set(deeper)]:
        yield (
            f"{about}: {len(heads)} tensors of its file are no part of it and are left out, such as"
            f" heads ({_some(heads)})"
        )


def _some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    every = sorted(names)
    more = f", and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(clean(name, 120) for name in every[:NAMED]) + more


def _prefixes(name: str, wanted: Collection[str]) -> Iterator[str]:
    """All that may stand before a wanted name in this one, with its dot."""
    parts = _new_spelling(name).split(".")
    for place in range(len(parts)):
        if ".".join(parts[place:]) in wanted:
            yield "".join(f"{part}." for part in parts[:place])


def _without_inner(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in INNER_WRAPPERS)


def _new_spelling(name: str) -> str:
    for old, new in OLD_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _pattern(name: str) -> str:
    """A name without the numbers of its layers."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)
