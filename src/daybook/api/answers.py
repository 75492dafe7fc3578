"""Answers that FastAPI does not make by itself: JSON bytes and errors."""

import asyncio
from collections.abc import Mapping

from fastapi import Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daybook.errors import DaybookError

_SECONDS_TO_RETRY = "1"
_SLICE_BYTES = 64 << 10


class JsonBytes(Response):
    """Sends JSON bytes in slices, so that no connection buffers a copy of a large answer."""

    media_type = "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for first in range(0, len(self.body), _SLICE_BYTES):
            part = self.body[first : first + _SLICE_BYTES]
            more = first + _SLICE_BYTES < len(self.body)
            await send({"type": "http.response.body", "body": part, "more_body": more})
            await asyncio.sleep(0)  # many large answers at once would hold the event loop


def labelled(answer: bytes, currency: str) -> JsonBytes:
    """Return a JSON object with the currency of its amounts as its first member, unless `currency` is empty."""
    if not currency:
        return JsonBytes(answer)
    return JsonBytes(b'{"currency":"%s",%s' % (currency.encode(), answer[1:]))


class CurrencyHeader:
    """Names the currency of all amounts in the header `Daybook-Currency` of every answer."""

    def __init__(self, app: ASGIApp, currency: str) -> None:
        self._app, self._header = app, (b"daybook-currency", currency.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), self._header]
            await send(message)

        await self._app(scope, receive, send_named if scope["type"] == "http" else send)


def valid_texts(texts: Mapping[str, str]) -> dict[str, str]:
    """Return names and texts as valid UTF-8; each byte of a path that is none becomes a question mark."""
    return {_valid(name): _valid(text) for name, text in texts.items()}


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def error_answer(error: Exception) -> JSONResponse:
    """Return an error's status and message. A 503 says when to try again."""
    status = error.status if isinstance(error, DaybookError) else 500
    headers = {"Retry-After": _SECONDS_TO_RETRY} if status == 503 else None  # noqa: PLR2004 - HTTP's number
    return JSONResponse({"detail": str(error)}, status, headers)
