"""Exact amounts as JSON numbers. They are written from decimal text, never through a float."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from daybook.domain.money import format_units


def number(text: str) -> msgspec.Raw:
    """Return the JSON number of an exact decimal text."""
    return msgspec.Raw(text.encode())


def number_of(units: int) -> msgspec.Raw:
    """Return the JSON number of an amount in units of 10^-8."""
    return number(format_units(units))


def exact_totals(totals: Mapping[str, str]) -> dict[str, msgspec.Raw]:
    """Return control totals, which are exact decimal texts by type, as JSON numbers."""
    return {kind: number(text) for kind, text in totals.items()}


def encode(value: Any) -> bytes:
    """Return the JSON of plain values, exact numbers and pydantic models."""
    return msgspec.json.encode(value, enc_hook=dict)


def member(name: str, value: Any) -> bytes:
    """Return one member of a JSON object, `"name":value`."""
    return encode(name) + b":" + encode(value)


def object_of(members: Iterable[bytes]) -> msgspec.Raw:
    """Return the JSON object of encoded members. A large object is encoded in small steps this way."""
    return msgspec.Raw(b"{" + b",".join(members) + b"}")


def array_of(values: Iterable[bytes]) -> msgspec.Raw:
    """Return the JSON array of encoded values. A large array is encoded in small steps this way."""
    return msgspec.Raw(b"[" + b",".join(values) + b"]")
