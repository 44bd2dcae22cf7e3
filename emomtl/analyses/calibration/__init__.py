"""Whether probabilities mean what they say, and at which thresholds labels are best answered."""

from emomtl.analyses.calibration.reliability import Reliability, reliability

__all__ = ["Reliability", "reliability"]
