"""emomtl from Python: train a manifest, open a run, predict, evaluate, export."""
