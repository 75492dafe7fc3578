"""The HTTP application: routers and error handlers, no I/O."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline

from daybook import __version__
from daybook.api import aggregates_router, rejects_router, service_router, stats_router
from daybook.api.error_answers import error_answer
from daybook.api.services import Services
from daybook.api.stats_shortcut import StatsShortcut
from daybook.errors import DaybookError


class AppState(TypedDict):
    services: Services


def create_app(services: Services) -> FastAPI:
    """The app over parts that somebody else has opened and will close (`daybook.lifespan`)."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        yield AppState(services=services)

    app = FastAPIOffline(title="Daybook", version=__version__, lifespan=lifespan)
    app.include_router(stats_router.router)
    app.include_router(aggregates_router.router)
    app.include_router(service_router.router)
    app.include_router(rejects_router.router)
    app.add_middleware(StatsShortcut, stats=services.stats)
    app.add_exception_handler(DaybookError, _render)
    return app


async def _render(_: Request, error: Exception) -> JSONResponse:
    return error_answer(error)
