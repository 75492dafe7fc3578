"""`GET /stats`: the route, and a shortcut to its answers."""

import re
from datetime import date
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.types import ASGIApp, Receive, Scope, Send

from daybook.api.answers import JsonBytes, error_answer
from daybook.api.dependencies import ServicesDependency
from daybook.api.schemas import Detail, StatsAnswer
from daybook.api.services import Services
from daybook.books.totals import answer_totals
from daybook.errors import DaybookError

router = APIRouter(tags=["stats"])

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_USUAL_QUESTION = re.compile(rb"from_date=(\d{4}-\d{2}-\d{2})&to_date=(\d{4}-\d{2}-\d{2})")


def _only_days(text: str) -> str:
    """Return the text of a day; keep pydantic from reading `1767225600` or a moment as a day."""
    if _DAY.fullmatch(text) is None:
        raise PydanticCustomError("date_parsing", "Input should be a valid date in the form YYYY-MM-DD")
    return text


Day = Annotated[date, BeforeValidator(_only_days), Query(examples=["2026-01-01"])]


@router.get(
    "/stats",
    response_model=StatsAnswer,
    responses={400: {"model": Detail}, 500: {"model": Detail}, 503: {"model": Detail}},
    summary="Exact totals per day, type and payment method",
)
async def stats(services: ServicesDependency, from_date: Day, to_date: Day) -> Response:
    """Return the totals of a range of days, both ends included."""
    return await _answer(services, from_date, to_date)


async def _answer(services: Services, first: date, last: date) -> Response:
    make = partial(answer_totals, services.stores, first, last)
    return JsonBytes(await services.answers.answer(("stats", first, last), make))


class StatsShortcut:
    """Answers `from_date=…&to_date=…` without FastAPI, whose parsing of the query takes longer than the answer."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_stats = scope["type"] == "http" and scope["path"] == "/stats" and scope["method"] == "GET"
        days = _days_of(scope["query_string"]) if is_stats else None
        if days is None:
            await self._app(scope, receive, send)
            return
        response: Response
        try:
            response = await _answer(self._services, *days)
        except DaybookError as error:
            response = error_answer(error)
        await response(scope, receive, send)


def _days_of(query: bytes) -> tuple[date, date] | None:
    """Return the two days of the usual query; None for any other query, which goes to FastAPI."""
    found = _USUAL_QUESTION.fullmatch(query)
    if found is None:
        return None
    try:
        first, last = (date.fromisoformat(day.decode()) for day in found.groups())
    except ValueError:
        return None
    return first, last
