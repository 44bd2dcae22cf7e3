"""Composing: a manifest and the installed plugins make a plan, or one error that lists everything wrong."""

from emomtl.compose.plan import BoundTask, Plan
from emomtl.compose.whole import compose, compose_file, pretrained_choice

__all__ = ["BoundTask", "Plan", "compose", "compose_file", "pretrained_choice"]
