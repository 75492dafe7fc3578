"""`GET /v1/aggregates` and `/v1/restatements`."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from daybook.api.answers import json_answer
from daybook.api.dependencies import ServicesDependency
from daybook.api.schemas import (
    AggregatesAnswer,
    BucketOrigin,
    DayOrigin,
    Detail,
    RestatementsAnswer,
    RestatementState,
)
from daybook.api.stats import Day
from daybook.books.exact_json import number, number_of
from daybook.books.history import History
from daybook.books.totals import by_day, read_buckets
from daybook.domain.bucket import TYPES, Bucket, HeldBucket
from daybook.domain.restatement import Restatement

router = APIRouter(prefix="/v1")

_UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": Detail}}
_BAD_RANGE: dict[int | str, dict[str, Any]] = {400: {"model": Detail}}


def _in_utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is None:
        return moment and moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise PydanticCustomError("datetime_parsing", "Input should be a moment within the years 1 to 9999") from error


AsOf = Annotated[datetime | None, AfterValidator(_in_utc), Query()]
Limit = Annotated[int, Query(ge=1, le=10_000)]


@router.get(
    "/aggregates",
    tags=["stats"],
    response_model=AggregatesAnswer,
    responses=_BAD_RANGE | _UNAVAILABLE,
    summary="Totals with numbers of transactions, with provenance, and as known at an earlier moment",
)
async def aggregates(
    services: ServicesDependency, from_date: Day, to_date: Day, *, as_of: AsOf = None, provenance: bool = False
) -> Response:
    """Return totals and numbers of transactions of a range of days, both ends included.

    `as_of` (ISO 8601, UTC without an offset) asks for the totals as they were known at that moment. They are known for
    days that were closed by then: archived and evicted from Redis. `unknown` lists the days that were still open.
    """
    services.check_recovered()
    stores = services.stores
    waiting = provenance and await stores.queue.length() > 0
    answer: dict[str, Any] = {}
    if as_of is None:
        known = await read_buckets(stores, from_date, to_date)
    else:
        found = await History(stores).as_of(from_date, to_date, as_of)
        unknown_days = found.unknown_days
        known = {bucket: held for bucket, held in found.known.items() if bucket.day not in unknown_days}
        answer["unknown"] = sorted(unknown_days)
    answer["data"] = {
        day: {
            kind: {
                method: {"amount": number_of(cell.units), "transactions": cell.transactions}
                for method, cell in sorted(methods.items())
            }
            for kind, methods in types.items()
        }
        for day, types in by_day({bucket: held.state.cells for bucket, held in known.items()}).items()
    }
    if provenance:
        answer["provenance"] = {
            day: DayOrigin(
                **{kind: _origin(known.get(Bucket(day, kind))) for kind in TYPES},
                rows_waiting=waiting,
            )
            for day in answer["data"]
        }
    return json_answer(answer)


def _origin(held: HeldBucket | None) -> BucketOrigin | None:
    if held is None:
        return None
    return BucketOrigin(
        store="redis" if held.resident else "archive",
        version=held.state.version,
        as_of=datetime.fromisoformat(held.since) if held.since else None,
    )


@router.get(
    "/restatements",
    tags=["stats"],
    response_model=RestatementsAnswer,
    responses=_BAD_RANGE | _UNAVAILABLE,
    summary="All changes of closed days, which were archived and evicted from Redis before",
)
async def restatements(
    services: ServicesDependency,
    from_date: Day = date.min,
    to_date: Day = date.max,
    *,
    after: Annotated[str, Query(max_length=500)] = "",
    limit: Limit = 1000,
) -> Response:
    """Return the restatements of a range of days, both ends included.

    They are sorted by day, and for each day and type in the order in which they happened. `limit` counts changes of
    a day and type. One change may cover several payment methods, each an entry of the list.
    """
    services.check_recovered()
    page = await History(services.stores).restatements(from_date, to_date, after, limit)
    found = [state for each in page for state in _states(each)]
    return json_answer(RestatementsAnswer(restatements=found, next=page[-1].key if len(page) == limit else None))


def _states(restatement: Restatement) -> list[RestatementState]:
    return [
        RestatementState(
            date=restatement.day,
            type=restatement.type,
            payment_method=method,
            old=number(change.old),
            new=number(change.new),
            transactions=change.transactions,
            source=restatement.source,
            offset=restatement.offset,
            end_offset=restatement.end,
            at=datetime.fromisoformat(restatement.at),
            version=restatement.version,
        )
        for method, change in sorted(restatement.changes.items())
    ]
