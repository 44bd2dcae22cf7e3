"""Sections of a report's page that come from an analysis, not from scores alone."""
