"""`GET /livez`, `/readyz` and `/v1/imports`."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from daybook.api.answers import JsonBytes, labelled, valid_texts
from daybook.api.dependencies import ServicesDependency
from daybook.api.schemas import Alive, ControlTotals, Detail, ImportsAnswer, ImportState, Readiness, ReversalState
from daybook.api.services import OK, Services
from daybook.books.exact_json import array_of, encode, exact_totals
from daybook.domain.reversal import Reversal
from daybook.domain.source import Source

router = APIRouter()


@router.get("/livez", tags=["health"], summary="Liveness: the process answers")
async def livez() -> Alive:
    """Answer 200 while the process runs."""
    return Alive()


@router.get(
    "/readyz",
    tags=["health"],
    summary="Readiness: both stores answer and the background work runs",
    responses={503: {"model": Readiness}},
)
async def readyz(
    services: ServicesDependency, response: Response, verbose: Annotated[str | None, Query()] = None
) -> Readiness:
    """Answer 200 when every check is `ok`, else 503 with the problems. `?verbose` shows all checks."""
    checks = await services.checks()
    problems = {name: word for name, word in checks.items() if word != OK}
    if problems:
        response.status_code = 503
    waits = {name: str(wait) for name, wait in services.waits().items() if wait.reason}
    shown, held = (problems, {}) if verbose is None else (checks, services.held())
    return Readiness(ready=not problems, checks=valid_texts(shown), waits=valid_texts(waits), held=valid_texts(held))


@router.get(
    "/v1/imports",
    tags=["imports"],
    response_model=ImportsAnswer,
    summary="Progress of every source",
    responses={503: {"model": Detail}},
)
async def imports(services: ServicesDependency) -> Response:
    """Return every source with its rows, and the files that cannot be imported."""
    # What is queued changes without a commit, so an answer is not kept.
    answer = await services.progress.answer("imports", partial(_imports, services), keep=False)
    return labelled(answer, services.currency)


async def _imports(services: Services) -> bytes:
    sources = await services.stores.sources.all()
    return await asyncio.to_thread(_render, sources, services.import_problems())


def _render(sources: Sequence[Source], problems: Mapping[str, str]) -> bytes:
    return encode(
        {"imports": array_of(encode(import_state(source)) for source in sources), "problems": valid_texts(problems)}
    )


def import_state(source: Source) -> ImportState:
    """Return a source as `/v1/imports` lists it."""
    return ImportState(
        source=source.id,
        path=source.shown_path,
        fingerprint=source.read.digest,
        size=source.size,
        read_bytes=source.read.offset,
        rows=source.read.rows,
        applied=source.applied_rows,
        rejected=source.rejected_rows,
        waiting=source.waiting,
        state=source.state,
        problem=source.problem,
        since=source.since,
        held=source.held.reason if source.held else "",
        rereads=source.rereads,
        profile=msgspec.json.decode(source.profile) if source.profile else None,
        control_totals=control_totals(source.control_totals),
        replaces=source.replaces,
        reversal=_reversal(source.reverting or source.reverted),
    )


def control_totals(totals: Mapping[str, str]) -> ControlTotals:
    """Return control totals as exact JSON numbers, as all amounts in answers are."""
    return ControlTotals(**exact_totals(totals))


def import_answer(source: Source, status: int = 200) -> Response:
    """Return the answer of a route that changed a source."""
    return JsonBytes(encode(import_state(source)), status)


def _reversal(reversal: Reversal | None) -> ReversalState | None:
    if reversal is None:
        return None
    return ReversalState(
        by=reversal.by,
        why=reversal.why,
        at=reversal.at,
        replaced_by=reversal.replaced_by,
        rows=reversal.position.rows,
        control_totals=control_totals(reversal.control_totals),
    )
