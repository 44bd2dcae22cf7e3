"""The embedding space of runs: where the labels' texts lie, beside the labels' valence, arousal and dominance."""
