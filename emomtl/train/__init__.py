"""Training: `start` or `resume` make a session of a plan, `train` trains it to its end."""

from emomtl.train.display import Display
from emomtl.train.loop import train
from emomtl.train.session import Session
from emomtl.train.signals import Interrupted
from emomtl.train.start import resume, start
from emomtl.train.validation import Outcome

__all__ = ["Display", "Interrupted", "Outcome", "Session", "resume", "start", "train"]
