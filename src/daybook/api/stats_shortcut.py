"""The short way to `/stats` for questions that were understood before."""

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from daybook.api.error_answers import error_answer
from daybook.api.stats_answers import StatsAnswers
from daybook.errors import DaybookError


class StatsShortcut:
    """Spares FastAPI reading the same query string over and over, which takes longer than the answer."""

    def __init__(self, app: ASGIApp, stats: StatsAnswers) -> None:
        self._app, self._stats = app, stats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = scope["type"] == "http" and scope["path"] == "/stats" and scope["method"] == "GET"
        days = self._stats.days_of(scope["query_string"]) if known else None
        if days is None:
            await self._app(scope, receive, send)
            return
        response: Response
        try:
            response = Response(await self._stats.answer(*days), media_type="application/json")
        except DaybookError as error:
            response = error_answer(error)
        await response(scope, receive, send)
