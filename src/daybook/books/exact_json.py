"""Exact amounts as JSON numbers. They are written from decimal text, never through a float."""

import msgspec

from daybook.domain.money import format_units


def number(text: str) -> msgspec.Raw:
    """Return the JSON number of an exact decimal text."""
    return msgspec.Raw(text.encode())


def number_of(units: int) -> msgspec.Raw:
    """Return the JSON number of an amount in units of 10^-8."""
    return number(format_units(units))
