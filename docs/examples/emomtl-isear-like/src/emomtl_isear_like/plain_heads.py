"""The exporter `plain-heads`: the encoder for transformers, and the heads as numbers in a JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl import Exporter, ModelToExport, hookimpl

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PlainHeads(Exporter):
    """`heads.json` has weight (L, W) and bias (L,) of each task, for whoever pools by the mean."""

    def obstacles(self, model: ModelToExport) -> list[str]:
        """Any other pooling."""
        return [] if model.pooling == "mean" else [f"plain-heads is for the mean of tokens, not '{model.pooling}'"]

    def write(self, model: ModelToExport, folder: Path) -> None:
        """The encoder, the tokenizer and the heads."""
        model.encoder.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        heads = {}
        for name, task in model.tasks.items():
            linear = task.head[1]  # after dropout
            heads[name] = {"weight": linear.weight.tolist(), "bias": linear.bias.tolist()}
        (folder / "heads.json").write_text(json.dumps(heads), encoding="utf-8")

    def logits(
        self, model: ModelToExport, folder: Path, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> dict[str, NDArray[Any]]:
        """What the written files give: emomtl compares it with the run."""
        import numpy as np
        import torch
        from transformers import AutoModel, AutoTokenizer

        tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
        vectors = []
        for text in texts:
            inputs = tokenizer(text, truncation=True, max_length=model.max_tokens, return_tensors="pt")
            with torch.inference_mode():
                vectors.append(encoder(**inputs).last_hidden_state.mean(dim=1).numpy()[0])
        heads = json.loads((folder / "heads.json").read_text(encoding="utf-8"))
        return {task: np.stack(vectors) @ np.array(head["weight"]).T + head["bias"] for task, head in heads.items()}

    def usage(self, model: ModelToExport) -> str:
        """For the model card."""
        return 'heads = json.load(open("FOLDER/heads.json"))'


@hookimpl
def emomtl_exporters() -> dict[str, type[Exporter]]:
    """Offer `plain-heads`."""
    return {"plain-heads": PlainHeads}
