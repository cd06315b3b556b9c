"""Counts tokens of the text users sent and received."""
