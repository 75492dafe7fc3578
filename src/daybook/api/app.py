"""The HTTP application: routers and error handlers. Does no I/O."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline

from daybook import __version__
from daybook.api import (
    aggregates_router,
    held_router,
    reconcile_router,
    rejects_router,
    reversal_router,
    service_router,
    stats,
)
from daybook.api.answers import CurrencyHeader, error_answer
from daybook.api.head import HeadAsGet
from daybook.api.services import Services
from daybook.api.writers import LocalWriters
from daybook.errors import DaybookError


class AppState(TypedDict):
    """The parts that handlers depend on (`api/dependencies.py`)."""

    services: Services


def create_app(services: Services, *, allow_anonymous: bool = False) -> FastAPI:
    """Make the app. The caller opens and closes the `services` (`daybook.lifespan`).

    With `allow_anonymous`, requests from anywhere may change something.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        yield AppState(services=services)
        await services.close()

    app = FastAPIOffline(title="Daybook", version=__version__, lifespan=lifespan)
    for part in (
        stats,
        aggregates_router,
        reconcile_router,
        service_router,
        rejects_router,
        reversal_router,
        held_router,
    ):
        app.include_router(part.router)
    app.add_middleware(stats.StatsShortcut, services=services)
    app.add_middleware(HeadAsGet)
    app.add_middleware(LocalWriters, allow_anonymous=allow_anonymous)
    if services.currency:
        app.add_middleware(CurrencyHeader, currency=services.currency)
    app.add_exception_handler(DaybookError, _render)
    return app


async def _render(_: Request, error: Exception) -> JSONResponse:
    return error_answer(error)
