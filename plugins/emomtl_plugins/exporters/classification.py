"""The format `transformers`: a folder that `pipeline("text-classification")` opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from emomtl import Exporter, ModelToExport, TaskToExport, hookimpl
from emomtl_plugins.exporters.tokens import batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

EPSILON = 2.0**-12
"""tanh(e x) / e = x (1 - (e x)^2 / 3 + ...): for |x| up to 20 it is x to one part in 10^5. A power
of two only moves the exponent, so that multiplying and dividing by it loses no digit.
"""

SHIFT = 32.0
"""ReLU(x + s) - s and GELU(x + s) - s are x where x is above -s (for GELU: above -s + 6): the first
token's numbers, which come from a layer norm, lie well inside."""

PROBLEMS = {
    "sigmoid": "multi_label_classification",
    "softmax": "single_label_classification",
    "identity": "regression",
}
"""By activation, what transformers calls the problem; its pipeline applies the same activation."""

Pooler = tuple["Tensor", "Tensor"]
"""Weight (W, W) and bias (W,) of the pooler that a run with `pooling = "pooler"` trained."""

Fill = Callable[["nn.Module", "Tensor", "Tensor", "Pooler | None"], None]
"""Fills the stock head of a model so that it computes weight (L, W) and bias (L,) on the vector
that the run pooled: (model, weight, bias, pooler); without a pooler that is the first token's."""


def _identity(linear: nn.Linear, scale: float, shift: float) -> None:
    """Make a square linear layer compute scale * x + shift."""
    import torch

    linear.weight.copy_(torch.eye(linear.out_features) * scale)
    linear.bias.fill_(shift)


def _linear(linear: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Give a linear layer these values."""
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)


def _fill_bert(model: Any, weight: Tensor, bias: Tensor, pooler: Pooler | None) -> None:
    """BERT's head reads its pooler, tanh(dense(first token)), which `pooler` runs trained."""
    if pooler is None:
        _identity(model.bert.pooler.dense, EPSILON, 0.0)
        weight = weight / EPSILON
    else:
        _linear(model.bert.pooler.dense, *pooler)
    _linear(model.classifier, weight, bias)


def _fill_roberta(model: Any, weight: Tensor, bias: Tensor, pooler: Pooler | None) -> None:
    """RoBERTa's head has a dense layer with tanh of its own, which is the pooler under another
    name.
    """
    if pooler is None:
        _identity(model.classifier.dense, EPSILON, 0.0)
        weight = weight / EPSILON
    else:
        _linear(model.classifier.dense, *pooler)
    _linear(model.classifier.out_proj, weight, bias)


def _fill_deberta(model: Any, weight: Tensor, bias: Tensor, pooler: Pooler | None) -> None:
    """DeBERTa's head has a dense layer whose activation is an entry of the configuration."""
    _identity(model.pooler.dense, 1.0, 0.0)
    _linear(model.classifier, weight, bias)


def _fill_electra(model: Any, weight: Tensor, bias: Tensor, pooler: Pooler | None) -> None:
    """ELECTRA's head has a dense layer with GELU, which is linear far above 0."""
    _identity(model.classifier.dense, 1.0, SHIFT)
    _linear(model.classifier.out_proj, weight, bias - SHIFT * weight.sum(dim=1))


def _fill_distilbert(model: Any, weight: Tensor, bias: Tensor, pooler: Pooler | None) -> None:
    """DistilBERT's head has a dense layer with ReLU, which is linear above 0."""
    _identity(model.pre_classifier, 1.0, SHIFT)
    _linear(model.classifier, weight, bias - SHIFT * weight.sum(dim=1))


FILLS: Mapping[str, tuple[frozenset[str], Fill]] = {
    "bert": (frozenset({"cls", "pooler"}), _fill_bert),
    "roberta": (frozenset({"cls", "pooler"}), _fill_roberta),
    "xlm-roberta": (frozenset({"cls", "pooler"}), _fill_roberta),
    "camembert": (frozenset({"cls", "pooler"}), _fill_roberta),
    "mpnet": (frozenset({"cls", "pooler"}), _fill_roberta),
    "deberta-v2": (frozenset({"cls"}), _fill_deberta),
    "electra": (frozenset({"cls"}), _fill_electra),
    "distilbert": (frozenset({"cls"}), _fill_distilbert),
}
"""By architecture the poolings that its stock head can be made to compute, and how."""

OTHER_FORMATS = "the formats sentence-transformers and onnx can express it"


@dataclass(frozen=True)
class Classification(Exporter):
    """A task as a sequence classifier of transformers, without code of its own.

    The stock heads have a layer more than emomtl's. For a run with `pooling = "pooler"` it is
    BERT's pooler, which the run trained. For `cls` it is made linear: see the functions above.
    """

    one_task: ClassVar[bool] = True

    def obstacles(self, model: ModelToExport) -> list[str]:
        """Another pooling or architecture, and heads that are more than one linear layer."""
        known = FILLS.get(model.architecture)
        if known is None:
            kinds = ", ".join(FILLS)
            return [
                f"transformers' classifier for '{model.architecture}' has layers that cannot be"
                f" made linear; it can for {kinds}; {OTHER_FORMATS}"
            ]
        poolings = known[0]
        if model.pooling not in poolings:
            allowed = " or ".join(sorted(poolings))
            return [
                f"transformers' classifier for '{model.architecture}' reads the first token"
                f" (encoder.pooling = {allowed}), and the run pooled by '{model.pooling}';"
                f" {OTHER_FORMATS}"
            ]
        return not_linear(model)

    def write(self, model: ModelToExport, folder: Path) -> None:
        """The classifier's weights and configuration, and the tokenizer."""
        import copy

        import torch
        from transformers import AutoModelForSequenceClassification

        (task,) = model.tasks.values()
        config: Any = copy.deepcopy(model.encoder.config)
        config.id2label = dict(enumerate(task.labels))
        config.label2id = {label: number for number, label in enumerate(task.labels)}
        config.num_labels = len(task.labels)
        config.problem_type = PROBLEMS[task.activation]
        if model.architecture == "deberta-v2":
            config.pooler_hidden_act = "linear"
            config.pooler_hidden_size = config.hidden_size
        classifier = AutoModelForSequenceClassification.from_config(config)
        encoder = model.encoder.state_dict()
        base = classifier.base_model
        missing = set(base.state_dict()) - set(encoder)
        assert all(name.startswith("pooler.") for name in missing), missing
        base.load_state_dict(
            {name: encoder[name] for name in base.state_dict() if name in encoder}, strict=False
        )
        pooler: Pooler | None = None
        if model.pooling == "pooler":
            pooler = encoder["pooler.dense.weight"], encoder["pooler.dense.bias"]
        weight, bias = linear_of(task)
        with torch.no_grad():
            FILLS[model.architecture][1](classifier, weight, bias, pooler)
        classifier.save_pretrained(folder, safe_serialization=True)
        save_tokenizer(model, folder)

    def logits(
        self, model: ModelToExport, folder: Path, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> dict[str, NDArray[np.float32]]:
        """Those of the model that transformers opens from the folder."""
        import numpy as np
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        classifier = AutoModelForSequenceClassification.from_pretrained(
            folder, trust_remote_code=False
        )
        classifier.eval()
        parts = []
        with torch.inference_mode():
            for inputs in batches(tokenizer, texts, pairs, model.max_tokens, "pt"):
                parts.append(classifier(**inputs).logits.numpy())
        (task,) = model.tasks
        return {task: np.concatenate(parts)}

    def usage(self, model: ModelToExport) -> str:
        """With transformers' pipeline."""
        (task,) = model.tasks.values()
        every = "top_k=None, " if task.activation != "identity" else 'function_to_apply="none", '
        return (
            "from transformers import pipeline\n\n"
            'classify = pipeline("text-classification", model="FOLDER")\n'
            f'print(classify(["What a day!"], {every}truncation=True))'
        )


def not_linear(model: ModelToExport) -> list[str]:
    """A sentence for each task whose head is more than one linear layer with a bias."""
    found = []
    for task in model.tasks.values():
        try:
            linear_of(task)
        except ValueError:
            found.append(f"the head of '{task.name}' is not one linear layer with a bias")
    return found


def linear_of(task: TaskToExport) -> tuple[Tensor, Tensor]:
    """Weight (L, W) and bias (L,) of a head that is one linear layer; dropout does nothing here."""
    from torch import nn

    layers = [module for module in task.head.modules() if not list(module.children())]
    layers = [layer for layer in layers if not isinstance(layer, (nn.Dropout, nn.Identity))]
    if len(layers) != 1 or not isinstance(layers[0], nn.Linear) or layers[0].bias is None:
        raise ValueError(task.name)
    return layers[0].weight.detach(), layers[0].bias.detach()


def save_tokenizer(model: ModelToExport, folder: Path) -> None:
    """The tokenizer, which cuts texts to as many tokens as the run read when told to cut them."""
    import copy

    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.model_max_length = model.max_tokens
    tokenizer.save_pretrained(folder)


@hookimpl
def emomtl_exporters() -> dict[str, type[Exporter]]:
    """Offer `transformers`."""
    return {"transformers": Classification}
