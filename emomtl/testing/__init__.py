"""Checks for plugin authors: all that emomtl expects of what a plugin offers, and what of it does
not hold.
"""

from emomtl.testing.brief_training import train_briefly
from emomtl.testing.encoder_changes import check_change
from emomtl.testing.features import check_feature
from emomtl.testing.heads import check_head
from emomtl.testing.objectives import check_objective
from emomtl.testing.samplers import check_sampler
from emomtl.testing.tasks import TaskReport, check_task
from emomtl.testing.tiny_encoder import tiny_encoder
from emomtl.testing.weightings import check_weighting

__all__ = [
    "TaskReport",
    "check_change",
    "check_feature",
    "check_head",
    "check_objective",
    "check_sampler",
    "check_task",
    "check_weighting",
    "tiny_encoder",
    "train_briefly",
]
