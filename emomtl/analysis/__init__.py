"""What is asked of runs beside scores."""
