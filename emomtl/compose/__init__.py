"""Composing: a manifest and the installed plugins make a plan, or one error that lists everything wrong."""

from emomtl.compose.plan import BoundFeature, BoundTask, Plan
from emomtl.compose.whole import compose, compose_file

__all__ = ["BoundFeature", "BoundTask", "Plan", "compose", "compose_file"]
