"""Breaks a running Daybook in every known way, and counts its errors."""
