"""`emomtl slim`: a finished run without what only training needs."""

from __future__ import annotations

from typing import Annotated, Literal

from typer import Option

from emomtl.cli.options import RunArgument


def slim(
    run: RunArgument,
    weights: Annotated[
        Literal["raw", "ema"] | None,
        Option(help="Of a run with `train.ema`: keep these weights, and remove the others."),
    ] = None,
) -> None:
    """Remove the optimiser's state, most of a finished run's bytes.

    The run is scored and used as before, and cannot be trained further.
    """
    from emomtl.cli.output import say
    from emomtl.run import Run
    from emomtl.run import slim as remove_optimizer

    with Run.open(run, lock=True) as opened:
        freed = remove_optimizer(opened, weights)
        checkpoints = ", ".join(freed)
        if freed and weights is not None:
            opened.log(f"slimmed: {checkpoints} keep the {weights} weights alone")
        if freed:
            opened.log(f"slimmed: the optimiser's state of {checkpoints} was removed")
    if not freed:
        say(f"{run} is slim already")
        return
    megabytes = sum(freed.values()) / 1e6
    others = f", and all weights but the {weights} ones," if weights is not None else ""
    removed = f"the optimiser's state{others} of {checkpoints}: {megabytes:,.1f} MB"
    say(f"removed {removed}; {run} cannot be trained further")
