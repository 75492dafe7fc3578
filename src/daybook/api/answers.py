"""Answers that FastAPI does not make by itself: exact amounts and errors."""

from typing import Any

import msgspec
from fastapi import Response
from fastapi.responses import JSONResponse

from daybook.errors import DaybookError

_SECONDS_TO_RETRY = "1"


def json_answer(value: Any) -> Response:
    """Return plain values and pydantic models as JSON with exact numbers (`books/exact_json.py`)."""
    return Response(msgspec.json.encode(value, enc_hook=dict), media_type="application/json")


def error_answer(error: Exception) -> JSONResponse:
    """Return an error's status and message. A 503 says when to try again."""
    status = error.status if isinstance(error, DaybookError) else 500
    headers = {"Retry-After": _SECONDS_TO_RETRY} if status == 503 else None  # noqa: PLR2004 - HTTP's number
    return JSONResponse({"detail": str(error)}, status, headers)
