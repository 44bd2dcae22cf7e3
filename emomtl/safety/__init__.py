"""Input from outside: read with limits, escaped where it is shown, secrets redacted, files written whole or not at all."""
