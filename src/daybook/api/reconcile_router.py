"""`GET /v1/reconcile`."""

import asyncio
from functools import partial

from fastapi import APIRouter, Response

from daybook.api import schemas
from daybook.api.answers import labelled
from daybook.api.dependencies import ServicesDependency
from daybook.api.service_router import control_totals
from daybook.books.exact_json import array_of, encode, number, number_of
from daybook.books.reconciliation import (
    BucketComparison,
    Comparison,
    Contributions,
    Reconciliation,
    is_balanced,
    reconcile,
)
from daybook.domain.bucket import BucketState
from daybook.domain.source import Source
from daybook.stores.stores import Stores

router = APIRouter(prefix="/v1")


@router.get(
    "/reconcile",
    tags=["stats"],
    response_model=schemas.ReconcileAnswer,
    responses={503: {"model": schemas.Detail}},
    summary="Compare sources, Redis and the archive, to the row and the cent",
)
async def reconciliation(services: ServicesDependency) -> Response:
    """Read all that both stores hold and compare it. This takes longer the more days there are."""
    services.check_recovered()
    make = partial(_reconcile, services.stores)
    return labelled(await services.answers.answer("reconcile", make, keep=False), services.currency)


async def _reconcile(stores: Stores) -> bytes:
    return await asyncio.to_thread(_render, await reconcile(stores))


def _render(books: Reconciliation) -> bytes:
    answer = schemas.ReconcileAnswer(
        balanced=books.balanced,
        steady=books.steady,
        waiting_elements=books.waiting_elements,
        transactions=_transactions(books.transactions),
        deposits=_amounts(books.amounts["deposits"]),
        withdrawals=_amounts(books.amounts["withdrawals"]),
        sources=[],
        buckets=[],
        archived_buckets=books.archived_buckets,
    )
    sources = array_of(encode(_account(source, books.contributions[source.id])) for source in books.sources)
    buckets = array_of(encode(_bucket(comparison)) for comparison in books.buckets)
    plain = {name: value for name, value in answer if name != "currency"}
    return encode(plain | {"sources": sources, "buckets": buckets})


def _amounts(comparison: Comparison) -> schemas.Comparison:
    return schemas.Comparison(
        sources=number_of(comparison.sources),
        buckets=number_of(comparison.buckets),
        balanced=comparison.balanced,
    )


def _transactions(comparison: Comparison) -> schemas.Comparison:
    return schemas.Comparison(
        sources=number(str(comparison.sources)),
        buckets=number(str(comparison.buckets)),
        balanced=comparison.balanced,
    )


def _account(source: Source, contributions: Contributions) -> schemas.SourceAccount:
    return schemas.SourceAccount(
        source=source.id,
        path=source.shown_path,
        rows=source.read.rows,
        applied=source.applied_rows,
        rejected=source.rejected_rows,
        waiting=source.waiting,
        balanced=is_balanced(source),
        control_totals=control_totals(source.control_totals),
        contributions=contributions,
    )


def _bucket(comparison: BucketComparison) -> schemas.BucketComparison:
    return schemas.BucketComparison(
        date=comparison.bucket.day,
        type=comparison.bucket.type,
        redis=_stored(comparison.redis),
        archive=_stored(comparison.archive) if comparison.archive else None,
        state=comparison.standing,
    )


def _stored(state: BucketState) -> schemas.StoredTotal:
    return schemas.StoredTotal(version=state.version, amount=number_of(state.units), transactions=state.transactions)
