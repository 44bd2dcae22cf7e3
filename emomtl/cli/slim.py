"""`emomtl slim`: a finished run without what only training needs."""

from __future__ import annotations

from emomtl.cli.results import RunArgument


def slim(run: RunArgument) -> None:
    """Remove the optimiser's state, most of a finished run's bytes: it is scored and used as before, and not trained further."""
    from emomtl.cli.output import say
    from emomtl.run import Run
    from emomtl.run import slim as remove_optimizer

    with Run.open(run, lock=True) as opened:
        freed = remove_optimizer(opened)
        if freed:
            opened.log(f"slimmed: the optimiser's state of {', '.join(freed)} was removed")
    if not freed:
        say(f"{run} is slim already")
        return
    megabytes = sum(freed.values()) / 1e6
    say(f"removed the optimiser's state of {', '.join(freed)}: {megabytes:,.1f} MB; {run} cannot be trained further")
