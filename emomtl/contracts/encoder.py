"""What an encoder source is, a short name for a folder or a hub id with a pretrained encoder in it; and how texts are cut."""

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
"""What is kept of a text that is too long."""


@dataclass(frozen=True)
class Truncation:
    """What is kept of a text that is too long: its head, its tail, or `head_tokens` of its head and the rest of its tail."""

    keep: Side = "head"
    head_tokens: int = 0

    def of_head(self, room: int) -> int:
        """How many of `room` tokens are the first ones of a text; the others are its last ones."""
        return room if self.keep == "head" else min(self.head_tokens, room) if self.keep == "head+tail" else 0

    def scaled(self, to: int, of: int) -> Truncation:
        """The same for texts of which `to` tokens are read instead of `of`: the head keeps its part of the whole."""
        if self.keep != "head+tail" or to == of:
            return self
        return Truncation(self.keep, max(1, min(self.head_tokens * to // of, to - 3)))


HEAD = Truncation()
"""The first tokens are kept, as tokenizers do by themselves."""


@dataclass(frozen=True)
class EncoderSource:
    """A pretrained encoder by a short name: a hub id, or a folder inside an installed Python package.

    With a package, `hub` says what the same weights are called there, and nothing is fetched.
    `sha256` lists files of the folder with their digests; they are checked before anything is loaded. `pooling` is what
    suits the encoder where the manifest says nothing. `install` is the command that brings a missing package.
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
        """The hub id, or the folder after its files were verified; an error says what to install or what differs."""
        if self.package is None:
            if self.hub is None:
                raise EmomtlError("an encoder source needs a hub id or a package")
            return self.hub
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise EmomtlError(f"the Python package '{self.package}' is not installed", remedy=self.install)
        folder = Path(next(iter(spec.submodule_search_locations))) / self.folder
        for name, digest in self.sha256.items():
            path = folder / name
            if not path.is_file():
                raise EmomtlError(f"{path} is missing", remedy=f"install the package anew: {self.install}")
            if (found := sha256_unless_changed(path)) != digest:
                raise EmomtlError(
                    f"{path} has the sha256 {found}, expected {digest}",
                    remedy=f"do not use this file; install the package anew: {self.install}",
                )
        return str(folder)


def encoder_layers(encoder: nn.Module) -> Sequence[nn.Module]:
    """The layers of an encoder, the lowest first: its longest list of modules that stands in no other list.

    EmomtlError where there is none, or where it is shorter than the encoder is deep: layers that share their weights.
    """
    from torch import nn

    lists = {name: module for name, module in encoder.named_modules() if isinstance(module, nn.ModuleList)}
    outer = [found for name, found in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]
    longest: Sequence[nn.Module] = max(outer, key=len, default=())  # type: ignore[type-var, arg-type]  # torch does not call a ModuleList a Sequence
    depth = getattr(getattr(encoder, "config", None), "num_hidden_layers", None) or 1
    if not longest or len(longest) < depth:
        found = f"the encoder has {depth} layers with the weights of {len(longest)}" if longest else "the encoder lists no layers"
        remedy = "an encoder whose layers do not share their weights, such as BERT, RoBERTa, ELECTRA, DeBERTa or ModernBERT"
        raise EmomtlError(found, remedy=remedy)
    return longest
