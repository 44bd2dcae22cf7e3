"""A run is opened, and answers: predictions, scores, feature vectors, baselines."""
