"""`GET /v1/aggregates`, `/v1/restatements` and `/v1/reconcile`."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from daybook.api.dependencies import ServicesDependency
from daybook.api.exact_json import json_answer, number, number_of
from daybook.api.history import Known
from daybook.api.schemas import (
    AggregatesAnswer,
    BucketOrigin,
    DayOrigin,
    Detail,
    ReconcileAnswer,
    RestatementsAnswer,
    RestatementState,
)
from daybook.api.stats_router import Day
from daybook.api.stats_service import by_day
from daybook.domain.bucket import TYPES, Bucket
from daybook.domain.restatement import Restatement
from daybook.stores.both import HeldBucket
from daybook.stores.hot_aggregates import ResidentBucket

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
    summary="Totals with their numbers of transactions, where they come from, and as they were known earlier",
)
async def aggregates(
    services: ServicesDependency, from_date: Day, to_date: Day, *, as_of: AsOf = None, provenance: bool = False
) -> Response:
    """Both ends of the range belong to it.

    `as_of` (ISO 8601; without an offset UTC) answers what was known then of days that were archived and had left
    Redis by then; days that were still open are named in `unknown`.
    """
    services.check_recovered()
    waiting = provenance and await services.queue.length() > 0
    answer: dict[str, Any] = {}
    if as_of is None:
        held = await services.history.buckets(from_date, to_date)
        known = {bucket: Known(each.state.cells, each.state.version, each.changed) for bucket, each in held.items()}
    else:
        found = await services.history.as_of(from_date, to_date, as_of)
        held, unknown = found.held, found.unknown_days
        known = {bucket: each for bucket, each in found.known.items() if bucket.day not in unknown}
        answer["unknown"] = sorted(unknown)
    answer["data"] = {
        day: {
            kind: {
                method: {"amount": number_of(cell.units), "transactions": cell.transactions}
                for method, cell in sorted(methods.items())
            }
            for kind, methods in types.items()
        }
        for day, types in by_day({bucket: each.cells for bucket, each in known.items()}).items()
    }
    if provenance:
        answer["provenance"] = {
            day: DayOrigin(
                **{kind: _origin(Bucket(day, kind), held, known) for kind in TYPES},
                rows_waiting=waiting,
            )
            for day in answer["data"]
        }
    return json_answer(answer)


def _origin(bucket: Bucket, held: Mapping[Bucket, HeldBucket], known: Mapping[Bucket, Known]) -> BucketOrigin | None:
    if bucket not in known:
        return None
    _, version, since = known[bucket]
    store = "redis" if isinstance(held[bucket], ResidentBucket) else "archive"
    return BucketOrigin(store=store, version=version, as_of=datetime.fromisoformat(since) if since else None)


@router.get(
    "/restatements",
    tags=["stats"],
    response_model=RestatementsAnswer,
    responses=_BAD_RANGE | _UNAVAILABLE,
    summary="Every later change of a day that had been archived and had left Redis",
)
async def restatements(
    services: ServicesDependency,
    from_date: Day = date.min,
    to_date: Day = date.max,
    *,
    after: Annotated[str, Query(max_length=500)] = "",
    limit: Limit = 1000,
) -> Response:
    """By day, and for each day and type in the order in which they happened. `limit` counts changes of a day and
    type, each of which may concern several payment methods.
    """
    services.check_recovered()
    page = await services.history.restatements(from_date, to_date, after, limit)
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


@router.get(
    "/reconcile",
    tags=["stats"],
    response_model=ReconcileAnswer,
    responses=_UNAVAILABLE,
    summary="Whether sources, Redis and the archive agree to the row and the cent",
)
async def reconcile(services: ServicesDependency) -> Response:
    """Reads everything that both stores hold."""
    services.check_recovered()
    return json_answer(await services.reconciliation.answer())
