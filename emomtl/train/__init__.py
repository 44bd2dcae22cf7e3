"""Training: one run, from a plan and a run directory to its last checkpoint."""

from emomtl.train.display import Display
from emomtl.train.loop import train
from emomtl.train.outcome import Outcome
from emomtl.train.session import Session
from emomtl.train.signals import Interrupted
from emomtl.train.starting import resume, start

__all__ = ["Display", "Interrupted", "Outcome", "Session", "resume", "start", "train"]
