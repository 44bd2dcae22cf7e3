"""Runs after training: opened, evaluated, predicting; feature vectors and baselines."""
