"""JSON answers whose amounts are exact numbers."""

from typing import Annotated, Any

import msgspec
from fastapi import Response
from pydantic import WithJsonSchema

from daybook.domain.money import format_units

Amount = Annotated[Any, WithJsonSchema({"type": "number", "examples": [17587.95]})]
"""In a schema: an exact JSON number, with as many decimals as it needs, two at least."""


def number(text: str) -> msgspec.Raw:
    """An amount's exact decimal text as the JSON number of the same digits."""
    return msgspec.Raw(text.encode())


def number_of(units: int) -> msgspec.Raw:
    return number(format_units(units))


def json_answer(value: Any) -> Response:
    """Of plain values and pydantic models that hold such numbers."""
    return Response(msgspec.json.encode(value, enc_hook=dict), media_type="application/json")
