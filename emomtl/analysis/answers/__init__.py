"""What can be read from the answers that runs kept: by label with intervals, confusion, co-occurrence, thresholds, numbers."""

from emomtl.analysis.answers.kept import Kept, Level, kept_of
from emomtl.analysis.answers.parts import answered

__all__ = ["Kept", "Level", "answered", "kept_of"]
