"""What is asked of runs and corpora beside scores."""
