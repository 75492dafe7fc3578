"""Measures Daybook and other systems that do the same job: `python -m benchmarks --help`."""
