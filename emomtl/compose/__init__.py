"""Composing: a manifest and the installed plugins make a plan, or one error that lists everything wrong."""

from emomtl.compose.objectives import objective_problems
from emomtl.compose.plan import BoundFeature, BoundObjective, BoundTask, Plan, Start
from emomtl.compose.recipes import recipes
from emomtl.compose.sharing import changes_of, check_ties
from emomtl.compose.staged import staged
from emomtl.compose.stages import left, plans, pretraining, stages, updates_over_stages
from emomtl.compose.whole import compose, compose_file, pretrained_choice

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
    "left",
    "objective_problems",
    "plans",
    "pretrained_choice",
    "pretraining",
    "recipes",
    "staged",
    "stages",
    "updates_over_stages",
]
