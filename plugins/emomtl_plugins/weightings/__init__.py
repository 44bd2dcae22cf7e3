"""How the losses of tasks become one loss."""
