"""Weightings that mix the tasks' gradients instead of their losses, computed by TorchJD."""
