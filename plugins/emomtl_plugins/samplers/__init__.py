"""How often each task is trained."""
