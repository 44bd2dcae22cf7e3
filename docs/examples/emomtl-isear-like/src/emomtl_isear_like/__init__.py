"""An example plugin for emomtl; each module offers one thing."""
