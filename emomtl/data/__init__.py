"""Rows of a corpus: where they are, how they are read, and how they become tokens."""
