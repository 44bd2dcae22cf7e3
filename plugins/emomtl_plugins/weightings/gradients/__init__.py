"""Weightings that mix the gradients of the tasks instead of their losses, with the aggregators of TorchJD."""
