"""Amounts as JSON numbers, digit by digit: no double is between the total and its text."""

from collections.abc import Iterable
from typing import Any

import msgspec

from daybook.domain.money import format_units


def number(text: str) -> msgspec.Raw:
    """Return the JSON number of an exact decimal text."""
    return msgspec.Raw(text.encode())


def number_of(units: int) -> msgspec.Raw:
    """Return the JSON number of an amount in units of 10^-8."""
    return number(format_units(units))


def encode(value: Any) -> bytes:
    """Return the JSON of plain values, exact numbers, and models that become a dict."""
    return msgspec.json.encode(value, enc_hook=dict)


def member(name: str, value: Any) -> bytes:
    """Return one member of a JSON object, `"name":value`."""
    return encode(name) + b":" + encode(value)


def object_of(members: Iterable[bytes]) -> msgspec.Raw:
    """Return the JSON object of members that are encoded already: a large one in small steps."""
    return msgspec.Raw(b"{" + b",".join(members) + b"}")


def array_of(values: Iterable[bytes]) -> msgspec.Raw:
    """Return the JSON array of values that are encoded already: a large one in small steps."""
    return msgspec.Raw(b"[" + b",".join(values) + b"]")
