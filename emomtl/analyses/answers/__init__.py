"""What can be read from the answers that runs kept: by label with intervals, confusion,
co-occurrence, thresholds, numbers.
"""

from emomtl.analyses.answers.kept import Kept, Level, kept_of
from emomtl.analyses.answers.parts import answered

__all__ = ["Kept", "Level", "answered", "kept_of"]
