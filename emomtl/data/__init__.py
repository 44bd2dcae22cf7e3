"""Rows of a corpus: where they are, how they are read, and what becomes of them before a model sees them."""
