"""Composing: a manifest and the installed plugins make a plan, or one error with all problems."""

from emomtl.compose.encoder import pretrained_choice
from emomtl.compose.objectives import objective_problems
from emomtl.compose.plan import BoundFeature, BoundObjective, Plan, Start
from emomtl.compose.recipes import recipes
from emomtl.compose.resolve import compose, compose_file
from emomtl.compose.sharing import changes_of, check_ties
from emomtl.compose.stage_manifests import pretraining, stage_manifests
from emomtl.compose.stages import plans, remaining, stages, updates_over_stages
from emomtl.data.bound_task import BoundTask

__all__ = [
    "BoundFeature",
    "BoundObjective",
    "BoundTask",
    "Plan",
    "Start",
    "changes_of",
    "check_ties",
    "compose",
    "compose_file",
    "objective_problems",
    "plans",
    "pretrained_choice",
    "pretraining",
    "recipes",
    "remaining",
    "stage_manifests",
    "stages",
    "updates_over_stages",
]
