"""Whether probabilities mean what they say, and at which thresholds labels are best answered."""

from emomtl.analysis.calibration.reliability import Reliability, reliability
from emomtl.analysis.calibration.scaling import Scaling, fit_scaling
from emomtl.analysis.calibration.thresholds import KINDS, Thresholds, cross_fitted, fit_thresholds, moved

__all__ = [
    "KINDS",
    "Reliability",
    "Scaling",
    "Thresholds",
    "cross_fitted",
    "fit_scaling",
    "fit_thresholds",
    "moved",
    "reliability",
]
