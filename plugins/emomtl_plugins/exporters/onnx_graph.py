"""The formats `onnx` and `onnx-int8`: one graph with an output for each task, pooling inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from emomtl import Exporter, ModelToExport, hookimpl
from emomtl_plugins.exporters.classification import save_tokenizer
from emomtl_plugins.exporters.tokens import batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRAPH = "model.onnx"
OPSET = 20


@dataclass(frozen=True)
class OnnxGraph(Exporter):
    """All tasks in one ONNX graph: token ids (B, T) to the logits (B, L) of each task, by its name.

    `emomtl.load` opens the folder with onnxruntime and tokenizers alone.
    """

    needs: ClassVar[dict[str, str]] = {"onnx": "onnx", "onnxscript": "onnx", "onnxruntime": "onnx"}

    def write(self, model: ModelToExport, folder: Path) -> None:
        """The graph and the tokenizer."""
        save_tokenizer(model, folder)
        write_graph(model, folder / GRAPH)

    def logits(
        self, model: ModelToExport, folder: Path, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> dict[str, NDArray[np.float32]]:
        """Those of the graph in onnxruntime."""
        import numpy as np
        from onnxruntime import InferenceSession, SessionOptions
        from transformers import AutoTokenizer

        options = SessionOptions()
        options.log_severity_level = 3  # else onnxruntime prints warnings about the machine
        session = InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
        wanted = {one.name for one in session.get_inputs()}
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        parts: dict[str, list[Any]] = {task: [] for task in model.tasks}
        for inputs in batches(tokenizer, texts, pairs, model.max_tokens, "np"):
            values = {
                name: value.astype(np.int64) for name, value in inputs.items() if name in wanted
            }
            for task, logits in zip(
                model.tasks, session.run(list(model.tasks), values), strict=True
            ):
                parts[task].append(logits)
        return {task: np.concatenate(chunks) for task, chunks in parts.items()}

    def usage(self, model: ModelToExport) -> str:
        """With emomtl, which needs no torch here."""
        return (
            "import emomtl\n\n"
            'model = emomtl.load("FOLDER")  # pip install "emomtl[onnx]"; torch is not imported\n'
            'print(model.predict("What a day!"))'
        )


@dataclass(frozen=True)
class OnnxInt8(OnnxGraph):
    """The same graph with weights of eight bits: smaller and faster on a CPU, and not the same.

    Dynamic quantisation, one scale for each output channel, and a range of seven bits, as sums of
    products of eight overflow on CPUs without VNNI.
    """

    tolerance: ClassVar[float | None] = None

    def write(self, model: ModelToExport, folder: Path) -> None:
        """The quantised graph and the tokenizer."""
        import logging
        import tempfile

        from onnxruntime.quantization import QuantType, quantize_dynamic

        save_tokenizer(model, folder)

        def without_advice(record: logging.LogRecord) -> bool:
            # onnxruntime advises to fold constants first, which torch's exporter has done
            return "pre-processing" not in record.getMessage()

        logging.getLogger().addFilter(without_advice)
        try:
            with tempfile.TemporaryDirectory() as aside:
                whole = Path(aside) / GRAPH
                write_graph(model, whole)
                quantize_dynamic(
                    whole,
                    folder / GRAPH,
                    per_channel=True,
                    reduce_range=True,
                    weight_type=QuantType.QInt8,
                )
        finally:
            logging.getLogger().removeFilter(without_advice)


def write_graph(model: ModelToExport, path: Path) -> None:
    """Trace the model with two texts of unlike length; both axes of the inputs stay free."""
    import contextlib
    import io
    import warnings

    import torch
    from torch import nn

    class Whole(nn.Module):
        """The encoder, its pooling and all heads."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = model.encoder
            self.heads = nn.ModuleList([task.head for task in model.tasks.values()])

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            output = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types)
            pooled = _pooled(output, attention_mask, model.pooling)
            return tuple(head(pooled) for head in self.heads)

    sample = model.tokenizer(
        ["a short text", "one more, which is longer"], padding=True, return_tensors="pt"
    )
    named = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in sample]
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=model.max_tokens)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        torch.inference_mode(False),
    ):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Whole().eval(),
            tuple(sample[name] for name in named),
            path,
            input_names=named,
            output_names=list(model.tasks),
            dynamic_shapes=tuple({0: batch, 1: length} for _ in named),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _pooled(output: Any, mask: Any, pooling: str) -> Any:
    """The vector (B, W) of each text, as emomtl pools it."""
    import torch

    if pooling == "pooler":
        return output.pooler_output
    states = output.last_hidden_state
    if pooling == "cls":
        return states[:, 0]
    mask = mask.unsqueeze(-1)
    if pooling == "max":
        return states.masked_fill(mask == 0, torch.finfo(states.dtype).min).amax(dim=1)
    weights = mask.to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


@hookimpl
def emomtl_exporters() -> dict[str, type[Exporter]]:
    """Offer `onnx` and `onnx-int8`."""
    return {"onnx": OnnxGraph, "onnx-int8": OnnxInt8}
