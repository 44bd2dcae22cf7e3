"""Features: vectors of texts that stand beside the encoder's."""
