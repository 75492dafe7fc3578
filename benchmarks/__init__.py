"""Measures Daybook beside other ways of doing the same job: `python -m benchmarks --help`."""
