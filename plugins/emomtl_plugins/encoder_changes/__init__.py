"""Changes of the shared encoder: what is added to it, and what is frozen in it."""
