"""The HTTP application: routers and error handlers, no I/O."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline

from daybook import __version__
from daybook.api import service_router, stats_router
from daybook.api.services import Services
from daybook.errors import DaybookError

_SECONDS_TO_RETRY = "1"


class AppState(TypedDict):
    services: Services


def create_app(services: Services) -> FastAPI:
    """The app over parts that somebody else has opened and will close (`daybook.lifespan`)."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        yield AppState(services=services)

    app = FastAPIOffline(title="Daybook", version=__version__, lifespan=lifespan)
    app.include_router(stats_router.router)
    app.include_router(service_router.router)
    app.add_exception_handler(DaybookError, _render)
    return app


async def _render(_: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, DaybookError) else 500
    headers = {"Retry-After": _SECONDS_TO_RETRY} if status == 503 else None  # noqa: PLR2004 - HTTP's number
    return JSONResponse({"detail": str(error)}, status, headers)
