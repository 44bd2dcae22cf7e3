"""Objectives: extra losses on the texts that a task trains. One idea a file."""
