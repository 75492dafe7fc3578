"""`GET /stats`."""

import re
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from daybook.api.dependencies import ServicesDependency
from daybook.api.schemas import Detail, StatsAnswer

router = APIRouter(tags=["stats"])

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _only_days(text: str) -> str:
    """Keep pydantic from reading `1767225600` or a moment as a day."""
    if _DAY.fullmatch(text) is None:
        raise PydanticCustomError("date_parsing", "Input should be a valid date in the form YYYY-MM-DD")
    return text


Day = Annotated[date, BeforeValidator(_only_days), Query(examples=["2026-01-01"])]


@router.get(
    "/stats",
    response_model=StatsAnswer,
    responses={400: {"model": Detail}, 503: {"model": Detail}},
    summary="Exact totals per day, type and payment method",
)
async def stats(request: Request, services: ServicesDependency, from_date: Day, to_date: Day) -> Response:
    """Both ends of the range belong to it."""
    answer = await services.stats.answer(from_date, to_date)
    services.stats.understand(request.scope["query_string"], from_date, to_date)
    return Response(answer, media_type="application/json")
