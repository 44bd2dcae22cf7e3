"""A trained run leaves emomtl: other formats, verified against it, and exports opened again."""
