"""Which encoder a run uses, and that encoder once it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from emomtl.contracts.encoder import HEAD, Truncation
from emomtl.contracts.heads import Vocabulary
from emomtl.model.encoder_changes import AppliedChanges
from emomtl.model.layers import LAST, LastLayers

if TYPE_CHECKING:
    from torch import nn

    from emomtl.contracts.encoder_change import EncoderChange


@dataclass(frozen=True)
class EncoderChoice:
    """Which encoder a run uses: the name in the manifest, a folder or hub id, how texts are cut, and how vectors are pooled.

    `task_tokens` are the tasks of which another number of tokens than `max_tokens` is read.
    """

    name: str
    where: str
    revision: str | None
    pooling: str
    max_tokens: int
    dropout: float | None = None
    truncation: Truncation = HEAD
    layers: LastLayers = LAST
    task_tokens: tuple[tuple[str, int], ...] = ()

    @property
    def most_tokens(self) -> int:
        """The tokens of the longest text that any task reads."""
        return max(self.max_tokens, *(length for _, length in self.task_tokens), 0)

    def for_task(self, task: str) -> EncoderChoice:
        """The choice with the length at which one task's texts are read."""
        length = dict(self.task_tokens).get(task, self.max_tokens)
        return replace(self, max_tokens=length, truncation=self.truncation.scaled(length, self.max_tokens), task_tokens=())


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder module with its tokenizer, (B, T) token ids -> (B, T, width) vectors of its joined last layers, and how tasks
    share it. `notes` are what there is to say of its weights.
    """

    module: nn.Module
    tokenizer: Any
    width: int
    changes: AppliedChanges | None = None
    notes: tuple[str, ...] = ()

    def changed(self, changes: Sequence[EncoderChange], tasks: Sequence[str], seed: int) -> LoadedEncoder:
        """The same encoder, with the changes applied to it in their order."""
        return replace(self, changes=AppliedChanges.of(self.module, changes, tasks, seed))

    @property
    def hidden(self) -> int:
        """The width of one layer's vector of a token."""
        return int(self.module.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @property
    def vocabulary(self) -> Vocabulary:
        """What a head that reads tokens may know."""
        rows, width = self.module.get_input_embeddings().weight.shape  # type: ignore[operator, union-attr]
        special = frozenset(self.tokenizer.all_special_ids)
        return Vocabulary(len(self.tokenizer), int(rows), int(width), self.tokenizer.mask_token_id, special)
