"""Breaks a running Daybook in every way that we know, and counts what it gets wrong."""
