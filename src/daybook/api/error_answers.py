"""How errors are answered."""

from fastapi.responses import JSONResponse

from daybook.errors import DaybookError

_SECONDS_TO_RETRY = "1"


def error_answer(error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, DaybookError) else 500
    headers = {"Retry-After": _SECONDS_TO_RETRY} if status == 503 else None  # noqa: PLR2004 - HTTP's number
    return JSONResponse({"detail": str(error)}, status, headers)
