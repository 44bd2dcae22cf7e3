"""What an exporter is: it writes a trained model into files that other software opens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

Activation = Literal["sigmoid", "softmax", "identity"]
"""What turns the logits of a task into its probabilities, or into the values of a regression."""


@dataclass(frozen=True)
class TaskToExport:
    """One task of a trained model.

    `head` maps pooled vectors (B, W) to logits (B, L) in the order of `labels`. `thresholds` (L,)
    are the probabilities from which a label is answered; None where labels are not answered by
    thresholds. `pairs` says that the task reads two texts a row.
    """

    name: str
    labels: tuple[str, ...]
    head: nn.Module
    activation: Activation
    thresholds: tuple[float, ...] | None = None
    pairs: bool = False


@dataclass(frozen=True)
class ModelToExport:
    """A trained model as exporters see it: a plain encoder, and heads over its pooled vectors.

    `encoder` is a model of transformers, in eval mode and on the CPU: changes of the encoder are
    merged into its weights. `pooling` is `cls`, `mean`, `max` or `pooler`. Texts are cut to their
    first `max_tokens` tokens.
    """

    encoder: nn.Module
    tokenizer: Any
    pooling: str
    max_tokens: int
    tasks: Mapping[str, TaskToExport]

    @property
    def architecture(self) -> str:
        """What transformers calls the type of the encoder, such as `bert`."""
        return str(self.encoder.config.model_type)  # type: ignore[union-attr]


class Exporter(ABC):
    """A format in which a model leaves emomtl; a frozen dataclass whose fields are its options.

    emomtl opens the run, merges what it can, and asks `obstacles`. It then calls `write`, compares
    the `logits` of the written files with its own on validation rows, and writes the model card,
    labels and thresholds beside them.
    """

    needs: ClassVar[Mapping[str, str]] = {}
    """Python packages that the format takes, with the extra of emomtl that installs each."""
    one_task: ClassVar[bool] = False
    """Whether a folder of this format holds one task; several tasks become several folders."""
    tolerance: ClassVar[float | None] = 1e-4
    """How far a logit may differ from emomtl's; None for a lossy format, which is judged by its
    scores on validation instead."""

    def __init__(self, **options: Any) -> None:
        """Subclasses are dataclasses: their fields are the options."""

    def obstacles(self, model: ModelToExport) -> list[str]:
        """Why the format cannot express this model, in one sentence each; empty where it can."""
        return []

    @abstractmethod
    def write(self, model: ModelToExport, folder: Path) -> None:
        """Write the model's files into an empty folder, without code and without pickles."""

    @abstractmethod
    def logits(
        self, model: ModelToExport, folder: Path, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> dict[str, NDArray[np.float32]]:
        """The logits (n, L) of each task for these texts, computed by the software that the format
        is for, from the written files alone; `model` says which tasks and labels there are."""

    @abstractmethod
    def usage(self, model: ModelToExport) -> str:
        """Some lines of Python that open the written files and use them, for the model card."""
