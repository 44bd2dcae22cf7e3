"""Short names of pretrained encoders."""
