"""The one cache: rows and tokens of corpora, kept between runs."""
