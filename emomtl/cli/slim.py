"""`emomtl slim`: a finished run without what only training needs."""

from __future__ import annotations

from typing import Annotated

import typer

from emomtl.cli.results import RunArgument


def slim(
    run: RunArgument,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="raw|ema", help="Of a run with `train.ema`: keep these weights, and remove the others."
        ),
    ] = None,
) -> None:
    """Remove the optimiser's state, most of a finished run's bytes: it is scored and used as before, and not trained further."""
    from emomtl.cli.output import say
    from emomtl.errors import EmomtlError, Problem, clean
    from emomtl.run import Run
    from emomtl.run import slim as remove_optimizer

    if weights not in (None, "raw", "ema"):
        raise EmomtlError(Problem("--weights", f"'{clean(weights)}' is not known", "raw, or ema"))
    with Run.open(run, lock=True) as opened:
        freed = remove_optimizer(opened, weights)
        if freed and weights is not None:
            opened.log(f"slimmed: {', '.join(freed)} keep the {weights} weights alone")
        if freed:
            opened.log(f"slimmed: the optimiser's state of {', '.join(freed)} was removed")
    if not freed:
        say(f"{run} is slim already")
        return
    megabytes = sum(freed.values()) / 1e6
    kept = f", and all weights but the {weights} ones," if weights is not None else ""
    say(f"removed the optimiser's state{kept} of {', '.join(freed)}: {megabytes:,.1f} MB; {run} cannot be trained further")
