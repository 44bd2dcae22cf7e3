"""Our training plugins: samplers, weightings, heads and encoders, one idea a file; each file is a plugin of its own."""
