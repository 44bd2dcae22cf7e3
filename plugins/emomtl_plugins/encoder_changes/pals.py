"""Projected attention layers: a small attention beside each layer of the encoder, one set for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt

from emomtl import Applied, EmomtlError, EncoderChange, TaskSwitch, hookimpl, modules_by_name

if TYPE_CHECKING:
    from torch import Tensor, nn

PARTS = ("attention", "intermediate", "output.LayerNorm")
"""What a layer of BERT's kind has; its `output` adds, drops out and normalises."""


@dataclass(frozen=True)
class ProjectedAttention(EncoderChange):
    """h' = LN(a + FFN(a) + TS(h)) in every layer, with a the layer's attention output and TS(h) = gelu(V_D MHA(V_E h)).

    Stickland & Murray (2019), arXiv:1902.02671, section 3. V_E (width to `rank`) and V_D (back) are the task's own and shared by
    its layers; each layer has its own attention with `heads` heads and no output projection. At rank 204 in BERT-base a task
    costs 1,819,836 parameters: two tasks make 113.1 million with the encoder, eight 1.13 times BERT-base. As in the authors'
    code, the attention has 6 heads, all projections have biases, and V_D is drawn like V_E from N(0, initializer_range²), so
    the first answer is not exactly the pretrained encoder's. Attention drops out as the encoder's does, and sees the same mask.
    Their code can leave PALs out of some layers; here every layer has one. Works where layers are BERT's: BERT, RoBERTa, XLM-R,
    ELECTRA, MiniLM.
    """

    rank: Annotated[int, Gt(0)] = 204
    heads: Annotated[int, Gt(0)] = 6

    @property
    def per_task(self) -> bool:
        """Each task has attention of its own."""
        return True

    def check(self, tasks: Sequence[str], others: Sequence[EncoderChange]) -> None:
        """The heads must divide the rank."""
        if self.rank % self.heads:
            remedy = "such as 204 and 6"
            raise EmomtlError(f"a rank of {self.rank} does not go into {self.heads} heads", place="heads", remedy=remedy)

    def apply(self, encoder: nn.Module, pretrained: Sequence[nn.Parameter], switch: TaskSwitch) -> Applied:
        """Put `pals.TASK` into the encoder, and hooks on its layers that add what the active task's PAL says."""
        layers = _layers(encoder)
        config: Any = encoder.config
        made = {}
        for task in switch.tasks:
            with switch.seeded("pals", task):
                made[task] = _pal(config, len(layers), self.rank, self.heads)
        encoder.pals = pals = modules_by_name(made)
        for number, layer in enumerate(layers):
            _beside(layer, number, pals, switch)
        return Applied({task: list(pal.parameters()) for task, pal in pals.items()})


def _layers(encoder: Any) -> list[nn.Module]:
    """The layers, or an error where they are not built as BERT's are."""
    stack = getattr(getattr(encoder, "encoder", None), "layer", ())
    kind = encoder.config.model_type
    fits = all(_has(layer, part) for layer in stack for part in PARTS)
    if not len(stack) or not fits or kind.startswith("deberta"):
        remedy = "an encoder of BERT's kind: BERT, RoBERTa, XLM-R, ELECTRA, CamemBERT, MiniLM"
        raise EmomtlError(f"PALs cannot be put into an encoder of the type '{kind}'", remedy=remedy)
    return list(stack)


def _has(layer: Any, dotted: str) -> bool:
    for part in dotted.split("."):
        layer = getattr(layer, part, None)
    return layer is not None


def _pal(config: Any, layers: int, rank: int, heads: int) -> nn.Module:
    """The modules of one task, `down`, `up` and one of `attentions` for each layer, with fresh values."""
    from torch import nn

    class Attention(nn.Module):
        """Multi-head attention without output projection, (B, T, R) -> (B, T, R), computed as the encoder computes its own."""

        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(rank, rank) for _ in range(3))

        def forward(self, low: Tensor, mask: Tensor | None) -> Tensor:
            """The attended vectors; `mask` is what the encoder gives its layers."""
            from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
            from transformers.models.bert.modeling_bert import eager_attention_forward

            attend = ALL_ATTENTION_FUNCTIONS.get_interface(config._attn_implementation, eager_attention_forward)
            split = (*low.shape[:-1], heads, rank // heads)
            query, key, value = (part(low).view(split).transpose(1, 2) for part in (self.query, self.key, self.value))
            dropout = config.attention_probs_dropout_prob if self.training else 0.0
            found, _ = attend(self, query, key, value, mask, dropout=dropout, scaling=(rank // heads) ** -0.5, is_causal=False)
            return found.reshape(*low.shape)  # type: ignore[no-any-return]

    class Pal(nn.Module):
        """TS of every layer, (B, T, W) -> (B, T, W)."""

        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = nn.Linear(config.hidden_size, rank), nn.Linear(rank, config.hidden_size)
            self.attentions = nn.ModuleList(Attention() for _ in range(layers))

        def forward(self, hidden: Tensor, mask: Tensor | None, layer: int) -> Tensor:
            """What is added in this layer (from 0), for its input."""
            return nn.functional.gelu(self.up(self.attentions[layer](self.down(hidden), mask)))

    made = Pal()
    for module in made.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=config.initializer_range)
            nn.init.zeros_(module.bias)
    return made


def _beside(layer: Any, number: int, pals: nn.ModuleDict, switch: TaskSwitch) -> None:
    """Let a layer add the active task's PAL before its last norm.

    Its `output` gets a + TS(h) where it got a, as in the authors' code; the layer's own code stays as transformers has it.
    """
    extra: list[Tensor] = []

    def entering(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        mask = args[1] if len(args) > 1 else kwargs.get("attention_mask")
        extra[:] = [pals[switch.active](hidden, mask, number)]

    def leaving(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        inner, attended, *rest = args
        return (inner, attended + extra.pop(), *rest)

    layer.register_forward_pre_hook(entering, with_kwargs=True)
    layer.output.register_forward_pre_hook(leaving)


@hookimpl
def emomtl_encoder_changes() -> dict[str, type[EncoderChange]]:
    """Offer `pals`."""
    return {"pals": ProjectedAttention}
