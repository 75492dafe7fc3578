"""`GET /stats`: the route, a cache of answers that is valid while no total changes, and a shortcut to the cache."""

import asyncio
import re
import time
from collections.abc import Callable
from datetime import date
from typing import Annotated, NamedTuple, cast

from cachetools import LRUCache
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.types import ASGIApp, Receive, Scope, Send

from daybook.api.answers import error_answer
from daybook.api.schemas import Detail, StatsAnswer
from daybook.books.totals import read_totals, render
from daybook.errors import DaybookError, RecoveringError
from daybook.stores.redis_state import RedisState
from daybook.stores.stores import Stores

router = APIRouter(tags=["stats"])

_MAX_AGE_SECONDS = 1.0
"""Longest time that an answer is kept. It covers changes without a commit: somebody writes to the archive by hand."""
_KEPT_BYTES = 16 << 20
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_USUAL_QUESTION = re.compile(rb"from_date=(\d{4}-\d{2}-\d{2})&to_date=(\d{4}-\d{2}-\d{2})")


class _Kept(NamedTuple):
    state: RedisState
    until: float
    answer: bytes


class StatsAnswers:
    """A cache of rendered answers.

    Every request asks Redis for its state first. A kept answer is used only when nothing was committed since it was
    made.
    """

    def __init__(self, stores: Stores, waiting_for: Callable[[], str]) -> None:
        """Take `waiting_for`, which returns the reason why the lane does not work.

        Redis and the archive may disagree until it is empty.
        """
        self._stores, self._waiting_for = stores, waiting_for
        self._kept: LRUCache[tuple[date, date], _Kept] = LRUCache(_KEPT_BYTES, getsizeof=lambda kept: len(kept.answer))
        self._asking: asyncio.Task[RedisState] | None = None
        self._next: asyncio.Task[RedisState] | None = None

    async def answer(self, first: date, last: date) -> bytes:
        """Return the JSON of a range of days, both ends included.

        Raises what `read_totals` raises, and RecoveringError while Redis and the archive may disagree.
        """
        state = await self._state()
        if reason := self._waiting_for():
            raise RecoveringError(reason)
        kept = self._kept.get((first, last))
        if kept is not None and kept.state == state and time.monotonic() < kept.until:
            return kept.answer
        answer = render(await read_totals(self._stores, first, last))
        if len(answer) <= _KEPT_BYTES:
            self._kept[first, last] = _Kept(state, time.monotonic() + _MAX_AGE_SECONDS, answer)
        return answer

    async def _state(self) -> RedisState:
        """Return the state of Redis, asked after this call. All calls before the question is sent share its answer."""
        if self._next is None:
            self._next = asyncio.create_task(self._ask(self._asking))
        return await asyncio.shield(self._next)

    async def _ask(self, before: asyncio.Task[RedisState] | None) -> RedisState:
        if before is not None:
            await asyncio.wait([before])
        self._asking, self._next = self._next, None
        return await self._stores.hot.restored_state()


async def _answers(request: Request) -> StatsAnswers:
    return cast(StatsAnswers, request.state.stats_answers)


StatsDependency = Annotated[StatsAnswers, Depends(_answers)]


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
async def stats(answers: StatsDependency, from_date: Day, to_date: Day) -> Response:
    """Return the totals of a range of days, both ends included."""
    return Response(await answers.answer(from_date, to_date), media_type="application/json")


class StatsShortcut:
    """Answers `from_date=…&to_date=…` without FastAPI, whose parsing of the query takes longer than the answer."""

    def __init__(self, app: ASGIApp, answers: StatsAnswers) -> None:
        self._app, self._answers = app, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_stats = scope["type"] == "http" and scope["path"] == "/stats" and scope["method"] == "GET"
        days = _days_of(scope["query_string"]) if is_stats else None
        if days is None:
            await self._app(scope, receive, send)
            return
        response: Response
        try:
            response = Response(await self._answers.answer(*days), media_type="application/json")
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
