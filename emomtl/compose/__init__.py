"""Composing: a manifest and the installed plugins make a plan, or one error that lists everything wrong."""

from emomtl.compose.plan import BoundTask, Plan, Start
from emomtl.compose.stages import left, pretraining, stages
from emomtl.compose.whole import compose, compose_file

__all__ = ["BoundTask", "Plan", "Start", "compose", "compose_file", "left", "pretraining", "stages"]
