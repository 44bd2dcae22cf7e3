"""The same model with less work: kernels for the CPU, and texts without padding."""
