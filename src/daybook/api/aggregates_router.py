"""`GET /v1/aggregates`, `/v1/aggregates/contributions` and `/v1/restatements`."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from daybook.api.answers import labelled
from daybook.api.dependencies import ServicesDependency
from daybook.api.schemas import (
    AggregatesAnswer,
    BucketOrigin,
    ContributionsAnswer,
    DayOrigin,
    Detail,
    RestatementsAnswer,
    RestatementState,
)
from daybook.api.stats import Day
from daybook.books.contributions import answer_by_source
from daybook.books.exact_json import array_of, encode, member, number, number_of, object_of
from daybook.books.history import History
from daybook.books.totals import by_day, cells_of, read_parts
from daybook.domain.bucket import TYPES, Bucket, Cells, HeldBucket
from daybook.domain.restatement import Restatement
from daybook.stores.stores import Stores

router = APIRouter(prefix="/v1")

_UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": Detail}}
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Detail}}
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
    make = partial(_aggregates, services.stores, from_date, to_date, as_of, provenance=provenance)
    question = ("aggregates", from_date, to_date, as_of, provenance)
    # `rows_waiting` changes without a commit, and what `as_of` knows changes when a bucket is evicted.
    answer = await services.answers.answer(question, make, keep=not provenance and as_of is None)
    return labelled(answer, services.currency)


async def _aggregates(stores: Stores, first: date, last: date, as_of: datetime | None, *, provenance: bool) -> bytes:
    waiting = provenance and await stores.queue.length() > 0
    answer: dict[str, Any] = {}
    data: list[bytes] = []
    origins: list[bytes] = []

    async def add(part: Mapping[Bucket, HeldBucket]) -> None:
        days, more = await asyncio.to_thread(_render_part, part, waiting=waiting)
        data.extend(days)
        origins.extend(more)

    if as_of is None:
        async for part in read_parts(stores, first, last):
            await add(part)
    else:
        found = await History(stores).as_of(first, last, as_of)
        unknown_days = found.unknown_days
        await add({bucket: held for bucket, held in found.known.items() if bucket.day not in unknown_days})
        answer["unknown"] = sorted(unknown_days)
    answer["data"] = object_of(data)
    if provenance:
        answer["provenance"] = object_of(origins)
    return encode(answer)


def _render_part(part: Mapping[Bucket, HeldBucket], *, waiting: bool) -> tuple[list[bytes], list[bytes]]:
    """Return the members of `data` and of `provenance`, one for each day."""
    days = by_day(cells_of(part))
    origins = [
        DayOrigin(**{kind: _origin(part.get(Bucket(day, kind))) for kind in TYPES}, rows_waiting=waiting)
        for day in days
    ]
    return (
        [member(day, {kind: _methods(cells) for kind, cells in types.items()}) for day, types in days.items()],
        [member(day, origin) for day, origin in zip(days, origins, strict=True)],
    )


def _methods(cells: Cells) -> dict[str, Any]:
    return {
        method: {"amount": number_of(cell.units), "transactions": cell.transactions}
        for method, cell in sorted(cells.items())
    }


def _origin(held: HeldBucket | None) -> BucketOrigin | None:
    if held is None:
        return None
    return BucketOrigin(
        store="redis" if held.resident else "archive",
        version=held.state.version,
        as_of=datetime.fromisoformat(held.since) if held.since else None,
    )


@router.get(
    "/aggregates/contributions",
    tags=["stats"],
    response_model=ContributionsAnswer,
    responses=_BAD_RANGE | _UNKNOWN | _UNAVAILABLE,
    summary="Totals with numbers of transactions, by the source that added them",
)
async def contributions(
    services: ServicesDependency,
    from_date: Day,
    to_date: Day,
    *,
    source: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Return what each source, or one, added to the totals of a range of days, both ends included.

    `sources` names the sources in `data`, and all whose contributions are incomplete: rows of those were applied while
    `KeepContributions` was off, and may be missing in `data`.
    """
    services.check_recovered()
    make = partial(answer_by_source, services.stores, from_date, to_date, source)
    answer = await services.answers.answer(("contributions", from_date, to_date, source), make)
    return labelled(answer, services.currency)


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
    make = partial(_restatements, services.stores, from_date, to_date, after, limit)
    answer = await services.answers.answer(("restatements", from_date, to_date, after, limit), make)
    return labelled(answer, services.currency)


async def _restatements(stores: Stores, first: date, last: date, after: str, limit: int) -> bytes:
    page = await History(stores).restatements(first, last, after, limit)
    return await asyncio.to_thread(_render_page, page, limit)


def _render_page(page: Sequence[Restatement], limit: int) -> bytes:
    states = array_of(encode(state) for each in page for state in _states(each))
    return encode({"restatements": states, "next": page[-1].key if len(page) == limit else None})


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
