"""Which options of a head's loss go together, said once for heads with labels."""

from __future__ import annotations

from typing import Any

from emomtl.contracts.heads.declaration import Head
from emomtl.contracts.heads.label_facts import BETA
from emomtl.errors import EmomtlError

PARAMETERS = {"focal": {"gamma": 2.0}, "asymmetric": {"gamma_pos": 0.0, "gamma_neg": 4.0, "clip": 0.05}}
"""The options of each criterion with the numbers that its paper recommends."""


CONTRADICTIONS = (
    ("asymmetric", "weights", "both make up for labels that few rows have, and together they do it twice"),
    ("logit_adjustment", "weights", "both make up for labels that few rows have, and together they do it twice"),
    ("asymmetric", "logit_adjustment", "both make up for labels that few rows have, and together they do it twice"),
    ("focal", "logit_adjustment", "the adjustment is derived for a cross-entropy (Menon et al., 2021)"),
    ("focal", "label_smoothing", "one counts sure answers less, the other makes answers less sure"),
    ("asymmetric", "label_smoothing", "one counts sure answers less, the other makes answers less sure"),
    ("focal", "soft", "focal loss is defined for rows with one label, and its optimum is not the distribution"),
)
"""Pairs of options that are refused, each with the reason."""


def settle_options(head: Any, weights: str, loss_of: type[Head]) -> None:
    """Fill in the numbers that a criterion needs, and refuse options that contradict each other.

    `weights` is the name of the head's option for weights of labels. `loss_of` is the head that computes
    the loss; a subclass with a loss of its own would pass over the options silently, so it takes none.
    `EmomtlError` about the head's table of the manifest.
    """
    if type(head).loss is not loss_of.loss:
        _refuse_for_own_loss(head, weights, loss_of)
        return
    criterion = head.criterion
    for owner, numbers in PARAMETERS.items():
        for name, number in numbers.items():
            value = getattr(head, name, None)
            if value is not None and criterion != owner:
                found = f'`{name}` belongs to criterion = "{owner}", and the criterion is "{criterion}"'
                raise EmomtlError(found, remedy=f'criterion = "{owner}", or leave `{name}` out')
            if value is None and criterion == owner:
                object.__setattr__(head, name, number)
    asked = getattr(head, weights)
    if head.beta is not None and asked != "effective-number":
        raise EmomtlError(f'`beta` belongs to {weights} = "effective-number"', remedy="give both, or neither")
    if head.beta is None and asked == "effective-number":
        object.__setattr__(head, "beta", BETA)
    for first, other, why in CONTRADICTIONS:
        names = {first: _is_asked(head, first, weights), other: _is_asked(head, other, weights)}
        if all(names.values()):
            said = [weights if name == "weights" else name for name in names]
            raise EmomtlError(f"{_code(said[0])} and {_code(said[1])} do not go together: {why}", remedy="take one of them")


def _refuse_for_own_loss(head: Any, weights: str, loss_of: Any) -> None:
    """Refuse options of `loss_of` for a subclass that has a loss of its own; what it declares anew is its own too."""
    for name in ("criterion", weights, "label_smoothing", "logit_adjustment"):
        inherited = loss_of.__dataclass_fields__[name]
        if type(head).__dataclass_fields__[name] is inherited and getattr(head, name) != inherited.default:
            found = f"`{name}` has no meaning: a '{head.kind}' head has a loss of its own"
            raise EmomtlError(found, remedy="leave it out")


def _is_asked(head: Any, option: str, weights: str) -> bool:
    """Whether a head has a criterion of this name, or an option that is not at its default."""
    if option in PARAMETERS:
        return bool(head.criterion == option)
    return bool(getattr(head, weights if option == "weights" else option, None))


def _code(name: str) -> str:
    return f'criterion = "{name}"' if name in PARAMETERS else f"`{name}`"


def not_fitted(head: Head) -> Any:
    """The error for a loss that is asked before the head has seen the training rows."""
    return EmomtlError(
        f"the loss of this '{head.kind}' head needs the training rows", remedy="call `fitted(targets, taxonomy)` first"
    )
