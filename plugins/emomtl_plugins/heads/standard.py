"""`single-label`, `multi-label` and `regression`: the kinds of head that emomtl itself defines."""

from __future__ import annotations

from emomtl import Head, MultiLabel, Regression, SingleLabel, hookimpl


@hookimpl
def emomtl_heads() -> dict[str, type[Head]]:
    return {head.kind: head for head in (SingleLabel, MultiLabel, Regression)}
