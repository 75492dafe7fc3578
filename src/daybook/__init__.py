"""Exact daily totals of payment transactions, each row counted exactly once."""

__version__ = "0.1.0"
