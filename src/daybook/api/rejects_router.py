"""`GET /v1/imports/{source}/rejects`."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from daybook.api.answers import json_answer
from daybook.api.dependencies import ServicesDependency
from daybook.api.schemas import CorrectedBy, Detail, RejectsAnswer, RejectState
from daybook.books.rejects import JudgedReject, Rejects

router = APIRouter(prefix="/v1", tags=["imports"])


class RejectsFormat(StrEnum):
    """Format of the answer."""

    JSON = "json"
    CSV = "csv"


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
    404: {"model": Detail},
    503: {"model": Detail},
}


@router.get(
    "/imports/{source}/rejects",
    response_model=RejectsAnswer,
    responses=_RESPONSES,
    summary="The rejects of a source",
)
async def rejects(
    services: ServicesDependency,
    source: Annotated[str, Path(max_length=100)],
    format: RejectsFormat = RejectsFormat.JSON,  # noqa: A002 - name of the query parameter
    after: Annotated[int, Query(ge=0, le=1 << 62, description="Only rejects after this line (JSON).")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Largest number of rejects (JSON).")] = 1000,
) -> Response:
    """Return the rejects of a source, in line order.

    JSON holds all rejects, page by page, each with its correction. CSV holds the rejects without a correction, in the
    file's own columns plus the reason; correct the rows and import the file again.
    """
    services.check_recovered()
    rejected = Rejects(services.stores)
    found = await rejected.source(source)
    if format is RejectsFormat.CSV:
        headers = {"Content-Disposition": f'attachment; filename="rejects-{found.id}.csv"'}
        return StreamingResponse(rejected.csv(found), media_type="text/csv", headers=headers)
    page = await rejected.page(source, after, limit)
    return json_answer(
        RejectsAnswer(
            source=found.id,
            path=found.shown_path,
            rejects=[_state(each) for each in page],
            next=page[-1].reject.line if len(page) == limit else None,
        )
    )


def _state(judged: JudgedReject) -> RejectState:
    reject, correction = judged
    by = CorrectedBy(source=correction.by_source, line=correction.by_line) if correction else None
    return RejectState(line=reject.line, raw=reject.raw, reason=reject.reason, corrected_by=by)
