"""On which words a model's decisions rest, and whether these are known emotion words."""
