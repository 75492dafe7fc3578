"""Health and imports."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from daybook.api.dependencies import ServicesDependency
from daybook.api.schemas import Alive, Detail, ImportsAnswer, Readiness

router = APIRouter()


@router.get("/livez", tags=["health"], summary="The process answers")
async def livez() -> Alive:
    return Alive()


@router.get(
    "/readyz",
    tags=["health"],
    summary="Stores answer and workers live",
    responses={503: {"model": Readiness}},
)
async def readyz(
    services: ServicesDependency, response: Response, verbose: Annotated[str | None, Query()] = None
) -> Readiness:
    readiness = await services.readiness()
    if not readiness.ready:
        response.status_code = 503
    if verbose is None:
        readiness.checks = {name: word for name, word in readiness.checks.items() if word != "ok"}
    return readiness


@router.get("/v1/imports", tags=["imports"], summary="How far every source is", responses={503: {"model": Detail}})
async def imports(services: ServicesDependency) -> ImportsAnswer:
    return await services.import_states()
