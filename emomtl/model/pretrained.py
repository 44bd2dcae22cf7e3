"""Pretrained weights, compared by name with the encoder that gets them: none stays random unseen.

transformers fills what a file lacks with random numbers and warns in a table. Here the table is
read: known wrappers around names are stripped, and a tensor of the encoder that is still missing,
or has another shape, is an error.
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
    from torch import Tensor

INNER_WRAPPERS = (
    *("_orig_mod", "_fsdp_wrapped_module"),
    *("_checkpoint_wrapped_module", "_forward_module"),
)
"""Parts that torch.compile, FSDP and DeepSpeed put into names, at any place; no model has them."""

OUTER_WRAPPERS = frozenset(
    ("module", "model", "encoder", "backbone", "transformer", "auto_model", "0", "1")
)
"""Usual parts before the names of an encoder in another module (DataParallel, Lightning)."""

OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""What BERT's first files call the parts of a layer norm; transformers knows them."""

FLOATING = ("F64", "F32", "F16", "BF16")
"""safetensors' types of numbers that are weights themselves, not codes for some."""

ADAPTER = re.compile(r"\.(lora_[A-Za-z_]+|base_layer|adapters)\.")
"""What is in the names of adapters that were saved beside the weights that they change."""

NAMED = 3
"""Tensors that a message names."""

REMEDY = (
    "save the encoder alone with its own `save_pretrained`; "
    "are config.json and the weights of one model?"
)


class WrongEncoder(EmomtlError):
    """A model that is no encoder that emomtl can train, or whose files are not wholly one."""


def wrong_encoder(name: str, finding: str, remedy: str, place: str = "encoder.use") -> WrongEncoder:
    """The error for what was found of the encoder with this name in the manifest."""
    return WrongEncoder(Problem(place, f"'{clean(name)}' {finding}", remedy))


@dataclass(frozen=True)
class Pretrained:
    """An encoder with the weights of its files, and notes on them."""

    module: Any
    notes: tuple[str, ...]


def load_pretrained(
    where: str, revision: str, config: Any, name: str, pooling: str, options: Mapping[str, Any]
) -> Pretrained:
    """The encoder of a folder or hub id with all of its weights.

    WrongEncoder names the tensors that are missing or do not fit; a missing pooler is a note.
    `name` is the manifest's name of the encoder, `options` are for its class.
    """
    arguments = {"config": config, "revision": revision, "trust_remote_code": False, **options}
    module, info = _load(where, arguments, {})
    base = str(getattr(module, "base_model_prefix", ""))
    tensors = tensors_of(where, revision)
    prefix, renamed = "", dict[str, str]()
    if _missing(info):
        prefix, renamed = unwrapped(tensors, info["missing_keys"], base, name)
        if renamed:
            module, info = _load(where, arguments, renamed)
    _check(name, module, info)
    _check_file(name, module, tensors, (prefix, f"{base}."))
    return Pretrained(module, tuple(_notes(name, module, info, pooling, renamed)))


def tensors_of(where: str, revision: str) -> dict[str, Path]:
    """The names of all tensors in a model's safetensors files, each with its file."""
    from transformers.utils import cached_file

    def path_of(name: str) -> Path | None:
        options = {"revision": revision, "_raise_exceptions_for_missing_entries": False}
        path = cached_file(where, name, **options)
        return None if path is None else Path(path)

    paths = [path_of("model.safetensors")]
    index = path_of("model.safetensors.index.json")
    if paths[0] is None and index is not None:
        weight_map = loads(index.read_bytes())["weight_map"]
        paths = [path_of(name) for name in sorted(set(weight_map.values()))]
    tensors: dict[str, Path] = {}
    for path in paths:
        if path is not None:
            with _opened(path) as file:
                tensors |= dict.fromkeys(file.keys(), path)
    return tensors


def read_tensors(tensors: Mapping[str, Path], names: Iterable[str]) -> dict[str, Tensor]:
    """Some tensors of a model's files, as float32."""
    values: dict[str, Tensor] = {}
    for name in names:
        with _opened(tensors[name]) as file:
            values[name] = file.get_tensor(name).float()
    return values


def _opened(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, framework="pt")  # type: ignore[no-untyped-call]  # it has no types


def unwrapped(
    names: Iterable[str], wanted: Collection[str], base: str, encoder: str
) -> tuple[str, dict[str, str]]:
    """The wrapper before the wanted names of a file, and the names that differ without wrappers.

    `base` is the word that transformers itself strips, such as `bert`. WrongEncoder where two
    wrappers hold the same tensors (two towers), or where the wrapper is unknown: then it is not
    clear which is the encoder. Nothing where no wrapper has what is wanted.
    """
    bare = {name: _without_inner(name) for name in names}
    counts: Counter[str] = Counter()
    for name in bare.values():
        counts.update(_prefixes(name, wanted))
    if not counts:
        return "", {}
    most = max(counts.values())
    prefixes = sorted(prefix for prefix, count in counts.items() if count == most)
    prefix = prefixes[0]
    if len(prefixes) > 1 or not set(prefix.split(".")[:-1]) <= OUTER_WRAPPERS | {base}:
        shown = " and under ".join(map(quoted, prefixes[:NAMED]))
        finding = f"does not load: its file has {most} tensors of the encoder under {shown}"
        raise wrong_encoder(encoder, finding, REMEDY)
    renamed: dict[str, str] = {}
    for name, short in bare.items():
        if short.startswith(prefix) and short.removeprefix(prefix) != name:
            renamed[name] = short.removeprefix(prefix)
    return prefix, renamed


def _load(where: str, arguments: Mapping[str, Any], renamed: Mapping[str, str]) -> tuple[Any, Any]:
    """What transformers loads, and its account of tensors; `renamed` are names in the files."""
    from transformers import AutoModel

    mapping = {f"^{re.escape(name)}$": short for name, short in renamed.items()}
    model, info = AutoModel.from_pretrained(
        where,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are in the account too, and refused with the others
        output_loading_info=True,
        key_mapping=mapping or None,
        **arguments,
    )
    return model, info


def _missing(info: Mapping[str, Any]) -> list[str]:
    """Tensors that are random and should not be: all but a pooler's."""
    return sorted(name for name in info["missing_keys"] if not name.startswith("pooler."))


def _check(encoder: str, module: Any, info: Mapping[str, Any]) -> None:
    """Refuse an encoder with tensors that are missing, misshapen, or changed by adapters."""
    total = len(module.state_dict())
    missing, mismatched = _missing(info), info["mismatched_keys"]
    unexpected = info["unexpected_keys"]
    adapters = [name for name in unexpected if ADAPTER.search(name)]
    faults: list[str] = []
    if missing:
        fault = f"{len(missing)} of the encoder's {total} tensors are not in its file"
        others = f"; it has {len(unexpected)} others: {_some(unexpected)}" if unexpected else ""
        faults.append(f"{fault}: {_some(missing)}{others}")
    if mismatched:
        shapes = [f"{name} {tuple(saved)} and not {tuple(own)}" for name, saved, own in mismatched]
        fault = f"{len(mismatched)} of the encoder's {total} tensors have another shape"
        faults.append(f"{fault}: {_some(shapes)}")
    if adapters:
        fault = f"its file has {len(adapters)} tensors of adapters that are not merged"
        faults.append(f"{fault}: {_some(adapters)}")
    if info["error_msgs"]:
        faults.append(clean(str(info["error_msgs"][0]), 200))
    problems: list[Problem] = []
    for fault in faults:
        problems += wrong_encoder(encoder, f"does not load: {fault}", REMEDY).problems
    if problems:
        raise WrongEncoder(*problems)


def _check_file(
    encoder: str, module: Any, tensors: Mapping[str, Path], prefixes: Iterable[str]
) -> None:
    """Refuse two tensors for one place, and weights that are codes (int8, fp8).

    Codes that are read as numbers are other weights.
    """
    state = module.state_dict()
    names_by_place: dict[str, list[str]] = {}
    quantised: dict[str, str] = {}
    for path in sorted(set(tensors.values())):
        with _opened(path) as file:
            for name in file.keys():  # noqa: SIM118  # a file is no mapping
                short = _without_inner(name)
                for prefix in prefixes:
                    short = short.removeprefix(prefix)
                place = _new_spelling(short)
                if place not in state:
                    continue
                names_by_place.setdefault(place, []).append(name)
                kind = file.get_slice(name).get_dtype()
                if state[place].is_floating_point() and kind not in FLOATING:
                    quantised[name] = kind
    twice = [" and ".join(names) for names in names_by_place.values() if len(names) > 1]
    if twice:
        finding = f"its file has two tensors for {len(twice)} of its places: {_some(twice)}"
        raise wrong_encoder(encoder, f"does not load: {finding}", REMEDY)
    if quantised:
        shown = f"{_some(quantised)}, {min(quantised.values())}"
        finding = f"does not load: {len(quantised)} of its tensors are quantised ({shown})"
        raise wrong_encoder(encoder, finding, "take the model's files in fp32, fp16 or bf16")


def _notes(
    encoder: str, module: Any, info: Mapping[str, Any], pooling: str, renamed: Mapping[str, str]
) -> Iterator[str]:
    """Notes on an encoder that loaded."""
    about = f"encoder '{clean(encoder)}'"
    if renamed:
        names = f"{len(renamed)} names of tensors ({clean(min(renamed), 120)})"
        yield f"{about}: a wrapper was stripped from {names}"
    if any(name.startswith("pooler.") for name in info["missing_keys"]):
        effect = "and none is read"
        if pooling == "pooler":
            effect = "so the pooler begins with random weights, as a head does"
        yield f"{about}: its file has no pooler, {effect}"
    patterns = {_pattern(name) for name in module.state_dict()}
    left = [name for name in info["unexpected_keys"] if "pooler." not in name]
    deeper = [name for name in left if _pattern(name) in patterns]
    heads = set(left) - set(deeper)
    if deeper:
        finding = "config.json has fewer layers than the file"
        yield f"{about}: {finding}: {len(deeper)} tensors of it are left out ({_some(deeper)})"
    if heads:
        finding = f"{len(heads)} tensors of its file are no part of it and are left out"
        yield f"{about}: {finding}, such as heads ({_some(heads)})"


def _some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    ordered = sorted(names)
    shown = ", ".join(clean(name, 120) for name in ordered[:NAMED])
    return shown + (f", and {len(ordered) - NAMED} more" if len(ordered) > NAMED else "")


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
