"""`POST /v1/imports/{source}/revert`."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from daybook.api.dependencies import ServicesDependency
from daybook.api.schemas import Detail, ImportState, ReversalRequest
from daybook.api.service_router import import_answer

router = APIRouter(prefix="/v1", tags=["imports"])


@router.post(
    "/imports/{source}/revert",
    response_model=ImportState,
    responses={
        202: {"model": ImportState, "description": "The reversal is queued and will be made."},
        400: {"model": Detail},
        403: {"model": Detail},
        404: {"model": Detail},
        409: {"model": Detail},
        503: {"model": Detail},
    },
    summary="Take the whole effect of a source back, once",
)
async def revert(
    services: ServicesDependency,
    source: Annotated[str, Path(max_length=100)],
    request: ReversalRequest,
) -> Response:
    """Subtract all that a source counted, in one step; the source stays listed as `reverted`.

    A source that is reverted already stays as it is.
    """
    services.check_recovered()
    found = await services.revert(source, request.by, request.why)
    return import_answer(found, 202 if found.reverted is None else 200)
