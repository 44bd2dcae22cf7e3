"""The run directory: everything that a run leaves behind; a kill, a full disk or a power cut costs
no result.
"""

from emomtl.run.checkpoint import Checkpoint, open_checkpoint, save_checkpoint
from emomtl.run.checkpoints import (
    align,
    choose_weights,
    find_checkpoint,
    open_own,
    open_which,
    point,
    prune,
    resume_point,
    slim,
)
from emomtl.run.directory import FORMAT, Run, check_new, is_run

__all__ = [
    "FORMAT",
    "Checkpoint",
    "Run",
    "align",
    "check_new",
    "choose_weights",
    "find_checkpoint",
    "is_run",
    "open_checkpoint",
    "open_own",
    "open_which",
    "point",
    "prune",
    "resume_point",
    "save_checkpoint",
    "slim",
]
