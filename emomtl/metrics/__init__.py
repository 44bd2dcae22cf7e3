"""Scores of predictions, thresholds that are tuned for them, and the only place where an interval or a p-value is computed."""
