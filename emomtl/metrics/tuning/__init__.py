"""Thresholds and temperatures: fitted on validation rows, and applied to others."""

from emomtl.metrics.tuning.scaling import Scaling, fit_scaling, negative_log_likelihood
from emomtl.metrics.tuning.task import (
    JUDGED_BY,
    WAYS,
    WRITTEN,
    TaskTuning,
    TunedThresholds,
    cross_fitted_decisions,
    decided,
    fit_task,
    tuned_metric,
    tuned_metrics,
    tuned_names,
)
from emomtl.metrics.tuning.thresholds import KINDS, Thresholds, cross_fitted, fit_thresholds, moved

__all__ = [
    "JUDGED_BY",
    "KINDS",
    "WAYS",
    "WRITTEN",
    "Scaling",
    "TaskTuning",
    "Thresholds",
    "TunedThresholds",
    "cross_fitted",
    "cross_fitted_decisions",
    "decided",
    "fit_scaling",
    "fit_task",
    "fit_thresholds",
    "moved",
    "negative_log_likelihood",
    "tuned_metric",
    "tuned_metrics",
    "tuned_names",
]
