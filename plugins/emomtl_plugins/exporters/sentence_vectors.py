"""The format `sentence-transformers`: Transformer, Pooling and one Dense layer that holds all
heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from emomtl import Exporter, ModelToExport, hookimpl
from emomtl_plugins.exporters.classification import linear_of, not_linear, save_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POOLINGS = ("cls", "mean", "max")


@dataclass(frozen=True)
class SentenceVectors(Exporter):
    """All tasks in one folder: `encode` gives the logits of every task, side by side.

    The modules are the library's own, so that no code comes with the folder. Columns are in the
    order of tasks and labels in `emomtl.json`.
    """

    needs: ClassVar[dict[str, str]] = {"sentence_transformers": "sentence-transformers"}

    def obstacles(self, model: ModelToExport) -> list[str]:
        """BERT's pooler, heads that are more than one linear layer, and pairs of texts."""
        found = not_linear(model)
        if model.pooling not in POOLINGS:
            found.append(
                f"sentence-transformers has no '{model.pooling}' (it has {', '.join(POOLINGS)})"
            )
        found += [
            f"'{task.name}' reads pairs of texts" for task in model.tasks.values() if task.pairs
        ]
        return found

    def write(self, model: ModelToExport, folder: Path) -> None:
        """The three modules, as the library itself saves them."""
        import tempfile

        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer import modules
        from torch import nn

        with tempfile.TemporaryDirectory() as plain:
            model.encoder.save_pretrained(plain, safe_serialization=True)  # type: ignore[operator]
            save_tokenizer(model, Path(plain))
            transformer = modules.Transformer(plain, max_seq_length=model.max_tokens)
            parts = [linear_of(task) for task in model.tasks.values()]
            weight = torch.cat([weight for weight, _ in parts])
            dense = modules.Dense(
                weight.shape[1], weight.shape[0], activation_function=nn.Identity()
            )
            with torch.no_grad():
                dense.linear.weight.copy_(weight)
                dense.linear.bias.copy_(torch.cat([bias for _, bias in parts]))
            pooling = modules.Pooling(weight.shape[1], pooling_mode=model.pooling)
            SentenceTransformer(modules=[transformer, pooling, dense], device="cpu").save(
                str(folder), create_model_card=False
            )

    def logits(
        self, model: ModelToExport, folder: Path, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> dict[str, NDArray[np.float32]]:
        """Those of the model that the library opens from the folder."""
        from sentence_transformers import SentenceTransformer

        opened = SentenceTransformer(str(folder), device="cpu", trust_remote_code=False)
        every = opened.encode(
            list(texts), batch_size=64, show_progress_bar=False, convert_to_numpy=True
        )
        found, start = {}, 0
        for task in model.tasks.values():
            found[task.name] = every[:, start : start + len(task.labels)]
            start += len(task.labels)
        return found

    def usage(self, model: ModelToExport) -> str:
        """With the library's `encode`."""
        task = next(iter(model.tasks.values()))
        squash = {
            "sigmoid": "1 / (1 + np.exp(-logits))",
            "softmax": "np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)",
            "identity": "logits",
        }[task.activation]
        return (
            "import numpy as np\nfrom sentence_transformers import SentenceTransformer\n\n"
            'model = SentenceTransformer("FOLDER")\n'
            f'logits = model.encode(["What a day!"])[:, :{len(task.labels)}]  # {task.name}\n'
            f"probabilities = {squash}"
        )


@hookimpl
def emomtl_exporters() -> dict[str, type[Exporter]]:
    """Offer `sentence-transformers`."""
    return {"sentence-transformers": SentenceVectors}
