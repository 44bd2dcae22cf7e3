"""`pals`: projected attention layers, a small attention of each task beside each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt

from emomtl import Applied, EmomtlError, EncoderChange, TaskSwitch, hookimpl, modules_by_name

if TYPE_CHECKING:
    from torch import Tensor, nn

LAYER_PARTS = ("attention", "intermediate", "output.LayerNorm")
"""The parts of a layer of BERT's kind; its `output` adds, drops out and normalises."""


@dataclass(frozen=True)
class ProjectedAttention(EncoderChange):
    """h' = LN(a + FFN(a) + TS(h)) in every layer, with TS(h) = gelu(V_D MHA(V_E h)).

    Stickland & Murray (2019), arXiv:1902.02671, section 3; a is the attention's output. V_E (width
    to `rank`) and V_D (back) are the task's own and shared by its layers; each layer has its own
    attention with `heads` heads and no output projection. At rank 204 in BERT-base a task costs
    1,819,836 parameters: two tasks make 113.1 million with the encoder, eight 1.13 times BERT-base.
    As in the authors' code, the attention has 6 heads, all projections have biases, and V_D is
    drawn like V_E from N(0, initializer_range²), so at the start the encoder does not compute
    exactly what the pretrained one does. The attention has the encoder's dropout and mask. Works
    where layers are BERT's: BERT, RoBERTa, XLM-R, ELECTRA, MiniLM.

    Departure: the authors' code can leave PALs out of some layers; here every layer has one.
    """

    rank: Annotated[int, Gt(0)] = 204
    heads: Annotated[int, Gt(0)] = 6

    @property
    def per_task(self) -> bool:
        return True

    def check(self, tasks: Sequence[str], others: Sequence[EncoderChange]) -> None:
        if self.rank % self.heads:
            problem = f"a rank of {self.rank} cannot be divided by {self.heads} heads"
            raise EmomtlError(problem, place="heads", remedy="such as 204 and 6")

    def apply(
        self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch
    ) -> Applied:
        """Put `pals.TASK` into the encoder, and hooks on its layers that add the active task's."""
        layers = _bert_layers(encoder)
        config: Any = encoder.config
        modules = {}
        for task in switch.tasks:
            with switch.seeded("pals", task):
                modules[task] = _task_module(config, len(layers), self.rank, self.heads)
        encoder.pals = pals = modules_by_name(modules)
        for number, layer in enumerate(layers):
            _add_to_layer(layer, number, pals, switch)
        return Applied({task: list(pal.parameters()) for task, pal in pals.items()})


def _bert_layers(encoder: Any) -> list[nn.Module]:
    """The layers, lowest first. `EmomtlError` where they are not built as BERT's are."""
    layers = getattr(getattr(encoder, "encoder", None), "layer", ())
    model_type = encoder.config.model_type
    fits = all(_has(layer, part) for layer in layers for part in LAYER_PARTS)
    if not len(layers) or not fits or model_type.startswith("deberta"):
        problem = f"PALs cannot be put into an encoder of the type '{model_type}'"
        remedy = "an encoder of BERT's kind: BERT, RoBERTa, XLM-R, ELECTRA, CamemBERT, MiniLM"
        raise EmomtlError(problem, remedy=remedy)
    return list(layers)


def _has(layer: Any, dotted: str) -> bool:
    for part in dotted.split("."):
        layer = getattr(layer, part, None)
    return layer is not None


def _task_module(config: Any, layers: int, rank: int, heads: int) -> nn.Module:
    """The modules of one task with random values: `down`, `up`, and `attentions` for each layer."""
    from torch import nn

    class Attention(nn.Module):
        """Multi-head attention without output projection, (B, T, R) -> (B, T, R)."""

        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(rank, rank) for _ in range(3))

        def forward(self, low: Tensor, mask: Tensor | None) -> Tensor:
            """`mask` is the one that the encoder gives its own layers."""
            from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
            from transformers.models.bert.modeling_bert import eager_attention_forward

            attend = ALL_ATTENTION_FUNCTIONS.get_interface(
                config._attn_implementation, eager_attention_forward
            )
            by_head = (*low.shape[:-1], heads, rank // heads)
            query, key, value = (
                projection(low).view(by_head).transpose(1, 2)
                for projection in (self.query, self.key, self.value)
            )
            dropout = config.attention_probs_dropout_prob if self.training else 0.0
            scaling = (rank // heads) ** -0.5
            attended: Tensor
            attended, _ = attend(
                self, query, key, value, mask, dropout=dropout, scaling=scaling, is_causal=False
            )
            return attended.reshape(*low.shape)

    class TaskAttention(nn.Module):
        """TS of every layer, (B, T, W) -> (B, T, W)."""

        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Linear(config.hidden_size, rank)
            self.up = nn.Linear(rank, config.hidden_size)
            self.attentions = nn.ModuleList(Attention() for _ in range(layers))

        def forward(self, hidden: Tensor, mask: Tensor | None, layer: int) -> Tensor:
            """TS(h) = gelu(V_D MHA(V_E h)), V_E = down, V_D = up, h the input of this layer."""
            return nn.functional.gelu(self.up(self.attentions[layer](self.down(hidden), mask)))

    task_module = TaskAttention()
    for module in task_module.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=config.initializer_range)
            nn.init.zeros_(module.bias)
    return task_module


def _add_to_layer(layer: Any, number: int, pals: nn.ModuleDict, switch: TaskSwitch) -> None:
    """Let a layer add the active task's TS(h) before its last norm.

    Its `output` computes LN(FFN(a) + a) and gets a + TS(h) for a. So transformers' own code of the
    layer stays as it is.
    """
    pending: list[Tensor] = []

    def before_layer(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        mask = args[1] if len(args) > 1 else kwargs.get("attention_mask")
        pending[:] = [pals[switch.active](hidden, mask, number)]

    def before_output(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        feed_forward, attention_output, *others = args
        return (feed_forward, attention_output + pending.pop(), *others)

    layer.register_forward_pre_hook(before_layer, with_kwargs=True)
    layer.output.register_forward_pre_hook(before_output)


@hookimpl
def emomtl_encoder_changes() -> dict[str, type[EncoderChange]]:
    return {"pals": ProjectedAttention}
