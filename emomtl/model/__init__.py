"""The shared encoder with one head per task, and where and how it computes."""
