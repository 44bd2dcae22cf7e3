"""What an encoder source is, what is kept of a long text, and which layers an encoder has."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from emomtl.errors import EmomtlError
from emomtl.safety.untrusted import sha256_unless_changed

if TYPE_CHECKING:
    from torch import nn

Side = Literal["head", "tail", "head+tail"]


@dataclass(frozen=True)
class Truncation:
    """What is kept of a text that is too long.

    Its head, its tail, or `head_tokens` of its head and the rest of its tail.
    """

    keep: Side = "head"
    head_tokens: int = 0

    def of_head(self, room: int) -> int:
        """How many of `room` tokens are the first ones of a text; the others are its last ones."""
        if self.keep == "head":
            return room
        return min(self.head_tokens, room) if self.keep == "head+tail" else 0

    def scaled(self, to: int, of: int) -> Truncation:
        """The same for texts of `to` tokens instead of `of`: the head keeps its proportion."""
        if self.keep != "head+tail" or to == of:
            return self
        # at least one token of the head, and room for one of the tail beside [CLS] and [SEP]
        return Truncation(self.keep, max(1, min(self.head_tokens * to // of, to - 3)))


HEAD = Truncation()
"""The first tokens are kept, as tokenizers do by default."""


@dataclass(frozen=True)
class EncoderSource:
    """A pretrained encoder under a short name: a hub id, or a folder of an installed package.

    With a `package`, `hub` says what the same weights are called there, and nothing is downloaded.
    `sha256` lists files of the folder with their digests, which are checked before anything is
    loaded. `pooling` is what suits the encoder where the manifest says nothing. `install` is the
    command that installs a missing package.
    """

    hub: str | None = None
    package: str | None = None
    folder: str = ""
    revision: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    pooling: str = "mean"
    install: str = ""
    about: str = ""

    def locate(self) -> str:
        """The hub id, or the folder after its files were verified.

        An error says what to install or which file differs.
        """
        if self.package is None:
            if self.hub is None:
                raise EmomtlError("an encoder source needs a hub id or a package")
            return self.hub
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            problem = f"the Python package '{self.package}' is not installed"
            raise EmomtlError(problem, remedy=self.install)
        folder = Path(next(iter(spec.submodule_search_locations))) / self.folder
        for name, expected in self.sha256.items():
            path = folder / name
            remedy = f"install the package anew: {self.install}"
            if not path.is_file():
                raise EmomtlError(f"{path} is missing", remedy=remedy)
            digest = sha256_unless_changed(path)
            if digest != expected:
                problem = f"{path} has the sha256 {digest}, expected {expected}"
                raise EmomtlError(problem, remedy=f"do not use this file; {remedy}")
        return str(folder)


def encoder_layers(encoder: nn.Module) -> Sequence[nn.Module]:
    """The layers of an encoder, the lowest first, in any architecture.

    They are its longest list of modules that stands in no other list. `EmomtlError` where there is
    none, or where it is shorter than the encoder is deep: then layers share their weights.
    """
    from torch import nn

    outer_lists: dict[str, nn.ModuleList] = {}
    for name, module in encoder.named_modules():  # parents come before their children
        inside = any(name.startswith(f"{outer}.") for outer in outer_lists)
        if isinstance(module, nn.ModuleList) and not inside:
            outer_lists[name] = module
    layers = max(outer_lists.values(), key=len, default=nn.ModuleList())
    depth = getattr(getattr(encoder, "config", None), "num_hidden_layers", None) or 1
    if len(layers) < depth:
        problem = "the encoder lists no layers"
        if len(layers):
            problem = f"the encoder has {depth} layers with the weights of {len(layers)}"
        remedy = "an encoder whose layers do not share their weights, "
        remedy += "such as BERT, RoBERTa, ELECTRA, DeBERTa or ModernBERT"
        raise EmomtlError(problem, remedy=remedy)
    return layers  # type: ignore[return-value]  # torch does not call a ModuleList a Sequence
