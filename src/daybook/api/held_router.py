"""`POST /v1/imports/{source}/release` and `/drop`."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from daybook.api.dependencies import ServicesDependency
from daybook.api.schemas import Detail, ImportState
from daybook.api.service_router import import_answer
from daybook.books import source_list

router = APIRouter(prefix="/v1", tags=["imports"])

_RESPONSES: dict[int | str, dict[str, Any]] = {code: {"model": Detail} for code in (400, 403, 404, 409, 503)}
SourceId = Annotated[str, Path(max_length=100)]


@router.post(
    "/imports/{source}/release",
    responses=_RESPONSES,
    response_model=ImportState,
    summary="Let a held or dropped source be imported",
)
async def release(services: ServicesDependency, source: SourceId) -> Response:
    """Import a source all the same."""
    services.check_recovered()
    found = await source_list.release(services.stores, source)
    services.compare_soon()
    return import_answer(found)


@router.post(
    "/imports/{source}/drop", responses=_RESPONSES, response_model=ImportState, summary="Never read a held source"
)
async def drop(services: ServicesDependency, source: SourceId) -> Response:
    """Drop a held source: it stays listed as `dropped`, and its file stays where it is."""
    services.check_recovered()
    found = await source_list.drop(services.stores, source)
    services.compare_soon()
    return import_answer(found)
