"""How a task answers: one kind of head, or a few that belong together, in each file."""
