"""Which weights of a checkpoint are taken: those that the optimiser moved, or their average."""

from __future__ import annotations

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.metrics.selection import EMA, RAW
from emomtl.run.checkpoint import Checkpoint
from emomtl.run.directory import Run


def choose_weights(run: Run, checkpoint: Checkpoint, asked: str | None, place: str) -> str:
    """Which weights of a checkpoint are taken: those asked for, else those by which the run chose its best checkpoint.

    EmomtlError, said of `place`, where the checkpoint does not have them.
    """
    if asked not in (None, RAW, EMA):
        raise EmomtlError(Problem(place, f"'{clean(str(asked))}' is not known", f"'{RAW}' or '{EMA}'"))
    kept = checkpoint.state.get("weights")
    if kept in (RAW, EMA):  # the run was slimmed to one of the two
        if asked not in (None, kept):
            raise EmomtlError(Problem(place, f"the run was slimmed to its '{kept}' weights", f"take '{kept}'"))
        return str(kept)
    if not checkpoint.has(EMA):
        if asked == EMA:
            found = f"{checkpoint.path.name} of '{run.name}' has no averaged weights"
            raise EmomtlError(Problem(place, found, f"take '{RAW}'; a run with `train.ema` keeps averages"))
        return RAW
    return asked or run.manifest.eval.weights or RAW
