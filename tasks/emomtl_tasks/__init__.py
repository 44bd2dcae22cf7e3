"""Emotion classification corpora as task plugins for emomtl."""
