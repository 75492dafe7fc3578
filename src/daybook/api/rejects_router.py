"""`GET /v1/imports/{source}/rejects`."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from daybook.api.answers import JsonBytes
from daybook.api.dependencies import ServicesDependency
from daybook.api.schemas import CorrectedBy, Detail, RejectsAnswer, RejectState
from daybook.books.exact_json import array_of, encode
from daybook.books.rejects import JudgedReject, Rejects
from daybook.domain.source import Source

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
    spreadsheet_safe: Annotated[
        bool, Query(description="Put an apostrophe before cells that a spreadsheet would compute (CSV).")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Largest number of rejects (JSON).")] = 1000,
) -> Response:
    """Return the rejects of a source, in line order.

    JSON holds all rejects, page by page, each with its correction. CSV holds the rejects without a correction, in the
    file's own columns plus the reason; correct the rows and import the file again.
    """
    services.check_recovered()
    rejected = Rejects(services.stores)
    if format is RejectsFormat.CSV:
        found = await rejected.source(source)
        headers = {"Content-Disposition": f'attachment; filename="rejects-{found.id}.csv"'}
        parts = ("".join(lines) async for lines in rejected.csv_pages(found, spreadsheet_safe=spreadsheet_safe))
        return StreamingResponse(parts, media_type="text/csv", headers=headers)
    make = partial(_page, rejected, source, after, limit)
    # A batch brings its rejects without a commit, so an answer is not kept.
    return JsonBytes(await services.answers.answer(("rejects", source, after, limit), make, keep=False))


async def _page(rejected: Rejects, source: str, after: int, limit: int) -> bytes:
    found = await rejected.source(source)
    page = await rejected.page(source, after, limit)
    return await asyncio.to_thread(_render, found, page, limit)


def _render(source: Source, page: Sequence[JudgedReject], limit: int) -> bytes:
    rejects = array_of(encode(_state(each)) for each in page)
    after = page[-1].reject.line if len(page) == limit else None
    return encode({"source": source.id, "path": source.shown_path, "rejects": rejects, "next": after})


def _state(judged: JudgedReject) -> RejectState:
    reject, correction = judged
    by = CorrectedBy(source=correction.by_source, line=correction.by_line) if correction else None
    return RejectState(line=reject.line, raw=reject.raw, reason=reject.reason, corrected_by=by)
