"""The demo corpus: a small set of made-up comments with emotion labels."""
