"""Which options of a head's loss go together, for the heads with labels."""

from __future__ import annotations

from typing import Any

from emomtl.contracts.heads.declaration import Head
from emomtl.contracts.heads.label_facts import BETA
from emomtl.errors import EmomtlError

PARAMETERS = {
    "focal": {"gamma": 2.0},
    "asymmetric": {"gamma_pos": 0.0, "gamma_neg": 4.0, "clip": 0.05},
}
"""The options of each criterion, with the numbers that its paper recommends."""

TWICE = "both make up for labels that few rows have, and together they do it twice"
SURE = "one counts sure answers less, the other makes answers less sure"
CONTRADICTIONS = (
    ("asymmetric", "weights", TWICE),
    ("logit_adjustment", "weights", TWICE),
    ("asymmetric", "logit_adjustment", TWICE),
    (
        "focal",
        "logit_adjustment",
        "the adjustment is derived for a cross-entropy (Menon et al., 2021)",
    ),
    ("focal", "label_smoothing", SURE),
    ("asymmetric", "label_smoothing", SURE),
    (
        "focal",
        "soft",
        "focal loss is defined for rows with one label, and its optimum is not the distribution",
    ),
)
"""Pairs of options that are refused, each with the reason; `weights` are those of labels."""


def settle_options(head: Any, weights: str, loss_of: type[Head]) -> None:
    """Fill in the numbers that a criterion needs, and refuse options that contradict each other.

    `weights` is the name of the head's option for weights of labels. `loss_of` is the head that
    computes the loss; a subclass with a loss of its own would silently ignore the options, so it
    takes none.
    """
    if type(head).loss is not loss_of.loss:
        _refuse_for_own_loss(head, weights, loss_of)
        return
    for criterion, numbers in PARAMETERS.items():
        for name, default in numbers.items():
            value = getattr(head, name, None)
            if value is not None and head.criterion != criterion:
                problem = f'`{name}` belongs to criterion = "{criterion}", '
                problem += f'and the criterion is "{head.criterion}"'
                remedy = f'criterion = "{criterion}", or leave `{name}` out'
                raise EmomtlError(problem, remedy=remedy)
            if value is None and head.criterion == criterion:
                object.__setattr__(head, name, default)
    by_effective_number = getattr(head, weights) == "effective-number"
    if head.beta is not None and not by_effective_number:
        problem = f'`beta` belongs to {weights} = "effective-number"'
        raise EmomtlError(problem, remedy="give both, or neither")
    if head.beta is None and by_effective_number:
        object.__setattr__(head, "beta", BETA)
    for first, second, reason in CONTRADICTIONS:
        if _is_used(head, first, weights) and _is_used(head, second, weights):
            pair = f"{_as_option(first, weights)} and {_as_option(second, weights)}"
            problem = f"{pair} do not go together: {reason}"
            raise EmomtlError(problem, remedy="take one of them")


def _refuse_for_own_loss(head: Any, weights: str, loss_of: Any) -> None:
    """Refuse options of `loss_of` for a subclass that has a loss of its own.

    Options that it declares anew are its own too.
    """
    for name in ("criterion", weights, "label_smoothing", "logit_adjustment"):
        inherited = loss_of.__dataclass_fields__[name]
        is_inherited = type(head).__dataclass_fields__[name] is inherited
        if is_inherited and getattr(head, name) != inherited.default:
            problem = f"`{name}` has no meaning: a '{head.kind}' head has a loss of its own"
            raise EmomtlError(problem, remedy="leave it out")


def _is_used(head: Any, option: str, weights: str) -> bool:
    """Whether a head has a criterion of this name, or a value for this option."""
    if option in PARAMETERS:
        return bool(head.criterion == option)
    return bool(getattr(head, weights if option == "weights" else option, None))


def _as_option(name: str, weights: str) -> str:
    if name in PARAMETERS:
        return f'criterion = "{name}"'
    return f"`{weights}`" if name == "weights" else f"`{name}`"


def not_fitted(head: Head) -> EmomtlError:
    """The error for a loss that is computed before the head has seen the training rows."""
    problem = f"the loss of this '{head.kind}' head needs the training rows"
    return EmomtlError(problem, remedy="call `fitted(targets, taxonomy)` first")
