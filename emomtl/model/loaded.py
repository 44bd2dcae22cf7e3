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
    from emomtl.contracts.encoder_change import EncoderChange


@dataclass(frozen=True)
class EncoderChoice:
    """Which encoder a run uses, how its texts are cut, and how its vectors are pooled.

    `name` is the manifest's, `where` a folder or hub id. `task_tokens` are the tasks whose texts
    have another length than `max_tokens`.
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
        truncation = self.truncation.scaled(length, self.max_tokens)
        return replace(self, max_tokens=length, truncation=truncation, task_tokens=())


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder with its tokenizer: token ids (B, T) -> vectors (B, T, width).

    `module` is a transformers model, which is untyped. `notes` are about its weights.
    """

    module: Any
    tokenizer: Any
    width: int
    changes: AppliedChanges | None = None
    notes: tuple[str, ...] = ()

    def changed(
        self, changes: Sequence[EncoderChange], tasks: Sequence[str], seed: int
    ) -> LoadedEncoder:
        """The same encoder, with changes applied to it in their order."""
        return replace(self, changes=AppliedChanges.of(self.module, changes, tasks, seed))

    @property
    def hidden(self) -> int:
        """The width of one layer's vector of a token."""
        return int(self.module.config.hidden_size)

    @property
    def vocabulary(self) -> Vocabulary:
        """What a head that reads tokens may know."""
        rows, width = self.module.get_input_embeddings().weight.shape
        special = frozenset(self.tokenizer.all_special_ids)
        mask = self.tokenizer.mask_token_id
        return Vocabulary(len(self.tokenizer), int(rows), int(width), mask, special)
