"""Exporters: formats in which a trained model leaves emomtl."""
