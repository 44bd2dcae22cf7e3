"""How much better a model is on the rows that it was trained on than on others."""
