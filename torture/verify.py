"""Compares the totals of a service at rest with the files: in the API, in Redis and in the archive."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import httpx

from daybook.stores import redis_keys
from support.oracle import Truth, merged
from support.service import Service
from torture.case import Case, Input
from torture.stores import Archived, Stores

IMPORT_SECONDS = 60.0
ARCHIVE_SECONDS = 40.0
_FIRST_DAY, _LAST_DAY = "2025-12-01", "2026-12-31"
_CENT = Decimal("0.01")

Cells = Mapping[tuple[str, str, str], Decimal]


def check(case: Case, service: Service, stores: Stores, inputs: Sequence[Input]) -> None:
    """Wait until all is imported and archived, compare API and Redis, stop the service, compare the archive.

    Each difference goes into the case's outcome. Rows that are not imported in time count as missing.
    """
    wait_until_imported(case, service, inputs)
    truths = [each.truth for each in inputs]
    expected = cells_of(merged(truths))
    _check_accounts(case, service, inputs)
    _compare(case, "/stats", expected, cells_of(service.stats(_FIRST_DAY, _LAST_DAY)))
    resident = _resident(stores, service)
    _compare(case, "Redis", {cell: expected.get(cell, Decimal(0)) for cell in resident}, resident)
    wait_until_archived(case, stores, service)
    check_books(case, service)
    code = service.stop()
    case.expect(code == 0, f"exit code {code} at SIGTERM")
    check_archive(case, service, stores, truths)
    case.expect("Traceback" not in service.logs, f"a traceback in the log:\n{service.logs[-2000:]}")


def wait_until_imported(case: Case, service: Service, inputs: Sequence[Input]) -> None:
    """Wait until all rows of all files are read and none waits."""

    def done() -> bool:
        with suppress(httpx.TransportError, AssertionError):
            return all(_source_of(service, each).get("waiting") == 0 for each in inputs)
        return False

    try:
        service.wait(done, "all is imported", IMPORT_SECONDS)
    except AssertionError as error:
        case.wrong(f"not imported: {error}; sources are {service.imports()}"[:2000])


def _source_of(service: Service, file: Input) -> dict[str, Any]:
    """Return the source that has the file's path and number of rows; empty when there is none."""
    sources = service.imports()
    return next(
        (each for each in sources if each["path"] == str(file.path) and each["rows"] == file.truth.rows),
        {},
    )


def wait_until_archived(case: Case, stores: Stores, service: Service) -> None:
    """Wait until the archive holds every change and every reject."""

    def nothing_waits() -> bool:
        waiting = [client.scard(redis_keys.DIRTY), client.scard(redis_keys.CHANGED_SOURCES)]
        return not any(waiting) and not client.exists(
            redis_keys.REJECTS, redis_keys.RESTATEMENTS, redis_keys.CONTRIBUTIONS
        )

    with stores.client(service) as client:
        try:
            service.wait(nothing_waits, "all is archived", ARCHIVE_SECONDS)
        except AssertionError as error:
            case.wrong(f"not archived: {error}"[:2000])


def check_totals(case: Case, service: Service, stores: Stores, truths: Sequence[Truth]) -> None:
    """Compare the totals of a service at rest in the API, in Redis and in the archive, and check its books.

    Totals may have fallen on the way.
    """
    wait_until_archived(case, stores, service)
    expected = cells_of(merged(truths))
    _compare(case, "/stats", expected, cells_of(service.stats(_FIRST_DAY, _LAST_DAY)))
    resident = _resident(stores, service)
    _compare(case, "Redis", {cell: expected.get(cell, Decimal(0)) for cell in resident}, resident)
    check_books(case, service, falls=True)
    code = service.stop()
    case.expect(code == 0, f"exit code {code} at SIGTERM")
    if off := _rows_off(case, stores.archived(service.data_dir), truths):
        case.outcome.drifted(off, Decimal(0))
    case.expect("Traceback" not in service.logs, f"a traceback in the log:\n{service.logs[-2000:]}")


def check_books(case: Case, service: Service, *, falls: bool = False) -> None:
    """Check `/v1/reconcile`, and that the restatements lead without a gap to the present totals.

    With `falls`, totals may have fallen.
    """
    books = service.get("/v1/reconcile").json()
    case.expect(books["balanced"] and books["steady"], f"the books do not balance: {books}"[:2000])
    contributions = {each["source"]: each["contributions"] for each in books["sources"]}
    case.expect(set(contributions.values()) <= {"same"}, f"contributions differ from ledgers: {contributions}")
    now = cells_of(service.stats(_FIRST_DAY, _LAST_DAY))
    reached: dict[tuple[str, str, str], Decimal] = {}
    after: str | None = ""
    while after is not None:
        answer = service.get("/v1/restatements", after=after, limit="10000")
        page = json.loads(answer.text, parse_float=Decimal)
        for each in page["restatements"]:
            cell = each["date"], each["type"], each["payment_method"]
            old, new = Decimal(each["old"]), Decimal(each["new"])
            follows = reached.get(cell, old) == old and (old < new or falls)
            case.expect(follows, f"a change is missing before {each}")
            reached[cell] = new
            case.outcome.count("restatements")
        after = page["next"]
    last = {cell: now.get(cell, Decimal(0)) for cell in reached}
    case.expect(reached == last, "the last restatements are not the present totals")


def check_archive(case: Case, service: Service, stores: Stores, truths: Sequence[Truth]) -> None:
    """Check the archive of a service that has ended: totals, rows of each cell, and rejects."""
    archived = stores.archived(service.data_dir)
    rows = _rows_off(case, archived, truths)
    rejects = sorted((line, raw) for truth in truths for line, (raw, _) in truth.rejects.items())
    wrong_rejects = len(set(rejects) ^ set(archived.rejects)) + abs(len(rejects) - len(archived.rejects))
    case.expect(not wrong_rejects, f"{wrong_rejects} rejects of the archive are missing or wrong")
    if rows or wrong_rejects:
        case.outcome.drifted(rows + wrong_rejects, Decimal(0))


def _rows_off(case: Case, archived: Archived, truths: Sequence[Truth]) -> int:
    """Compare the archive's totals; return how many rows its counts are off."""
    cells = {cell: Decimal(text) for cell, (text, _) in archived.cells.items()}
    _compare(case, "archive", cells_of(merged(truths)), cells)
    counts = sum((truth.counts for truth in truths), Counter[tuple[str, str, str]]())
    found = {cell: number for cell, (_, number) in archived.cells.items()}
    return sum(abs(counts[cell] - found.get(cell, 0)) for cell in counts.keys() | found.keys())


def _check_accounts(case: Case, service: Service, inputs: Sequence[Input]) -> None:
    """Check the applied and rejected rows and the control totals of each source."""
    sources: list[dict[str, Any]] = service.imports()
    case.expect(len(sources) == len(inputs), f"{len(sources)} sources of {len(inputs)} files")
    for each in inputs:
        found = _source_of(service, each) or {"applied": 0, "rejected": 0, "control_totals": {}}
        off = abs(found["applied"] - each.truth.applied) + abs(found["rejected"] - len(each.truth.rejects))
        if off:
            case.wrong(f"{off} rows off: {found}")
            case.outcome.drifted(off, Decimal(0))
        totals = found["control_totals"]
        case.expect(totals == each.truth.course[-1], f"control totals {totals} instead of {each.truth.course[-1]}")


def _resident(stores: Stores, service: Service) -> dict[tuple[str, str, str], Decimal]:
    found = {}
    with stores.client(service) as client:
        for key in client.scan_iter("agg:*", count=1000):
            _, day, kind = key.split(":")
            for method, text in client.hgetall(key).items():
                found[day, kind, method] = Decimal(text)
    return found


def _compare(case: Case, where: str, expected: Cells, found: Cells) -> None:
    off = {
        cell: found.get(cell, Decimal(0)) - expected.get(cell, Decimal(0))
        for cell in expected.keys() | found.keys()
        if found.get(cell) != expected.get(cell)
    }
    if off:
        cents = sum(map(abs, off.values()), Decimal(0)) / _CENT
        case.outcome.drifted(0, cents)
        some = {" ".join(cell): str(amount) for cell, amount in sorted(off.items())[:3]}
        case.wrong(f"{where}: {len(off)} of {len(expected)} totals are off, {cents} cents in all: {some}")


def cells_of(data: Mapping[str, Mapping[str, Mapping[str, Decimal]]]) -> dict[tuple[str, str, str], Decimal]:
    return {
        (day, kind, method): amount
        for day, types in data.items()
        for kind, methods in types.items()
        for method, amount in methods.items()
    }
