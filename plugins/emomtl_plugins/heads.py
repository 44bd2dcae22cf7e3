"""The three kinds of head that come with emomtl, by name."""

from __future__ import annotations

from emomtl import Head, MultiLabel, Regression, SingleLabel, hookimpl


@hookimpl
def emomtl_heads() -> dict[str, type[Head]]:
    """Offer `single-label`, `multi-label` and `regression`."""
    return {head.kind: head for head in (SingleLabel, MultiLabel, Regression)}
