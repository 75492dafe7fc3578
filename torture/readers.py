"""Readers that ask all the time: an exact Daybook must be able to give each answer at that moment."""

import json
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from support.service import Service

Course = Sequence[Mapping[str, Decimal]]
"""The sums of `deposits` and `withdrawals` after each number of valid rows, from the oracle."""
Cells = dict[tuple[str, str, str], Decimal]

_PAUSE_SECONDS = 0.03
_PATIENCE_SECONDS = 3.0
_RANGE = {"from_date": "2025-12-01", "to_date": "2026-12-31"}
_UNAVAILABLE = 503
_MOST_TOLD = 5
_NOTHING = Decimal(0)


class _Progress(NamedTuple):
    """The sums over all sources in `/v1/imports`."""

    applied: int
    totals: Mapping[str, Decimal]


class Readers:
    """A thread that asks each service in turn until the context ends. It checks:

    - every answer is 200 or 503;
    - in `/v1/imports`, rows = applied + rejected + waiting, and the control totals of a source with n applied rows
      are the exact sums of the file's first n valid rows;
    - the sum of `/stats` per type is at least the control totals just before the request and at most those after it;
    - no total in `/stats` falls or vanishes, unless the case takes acknowledged writes from Redis (`falls`).
    """

    def __init__(self, services: Sequence[Service], courses: Mapping[str, Course], *, falls: bool) -> None:
        self._services, self._courses, self._falls = services, courses, falls
        self._ended = threading.Event()
        self._floor: Cells = {}
        self._thread = threading.Thread(target=self._run, name="readers", daemon=True)
        self._client = httpx.Client(timeout=_PATIENCE_SECONDS, trust_env=False)
        self.violations: list[str] = []
        self.reads = 0
        """Number of checked answers of `/stats`."""
        self.resting: set[Service] = set()
        """Services that are stopped and not asked."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._ended.wait(_PAUSE_SECONDS):
            for service in self._services:
                try:
                    if service not in self.resting:
                        self._look(service)
                except (httpx.HTTPError, OSError):
                    continue  # the service is dead, starting, or was stopped meanwhile
                except Exception as error:  # noqa: BLE001 - an unreadable answer is a violation
                    self._tell(f"an answer cannot be read: {type(error).__name__} {error}")

    def _look(self, service: Service) -> None:
        address = service.address
        if address is None:
            return
        before = self._progress(address)
        stats = self._get(f"{address}/stats", _RANGE)
        after = self._progress(address)
        if stats is None:
            return
        cells = {
            (day, kind, method): amount
            for day, types in stats["data"].items()
            for kind, methods in types.items()
            for method, amount in methods.items()
        }
        self.reads += 1
        if not self._falls:
            self._compare_with_floor(cells)
        if before is not None and after is not None and before.applied <= after.applied:
            self._compare_with_courses(cells, before, after)

    def _compare_with_floor(self, cells: Cells) -> None:
        for cell, floor in self._floor.items():
            if cells.get(cell, _NOTHING) < floor:
                self._tell(f"/stats fell: {' '.join(cell)} from {floor} to {cells.get(cell)}")
        self._floor = cells

    def _compare_with_courses(self, cells: Cells, before: _Progress, after: _Progress) -> None:
        for kind in ("deposits", "withdrawals"):
            found = sum((amount for cell, amount in cells.items() if cell[1] == kind), _NOTHING)
            if not before.totals[kind] <= found <= after.totals[kind]:
                self._tell(
                    f"/stats has {found} {kind} while the rows applied add up to {before.totals[kind]}"
                    f" before and {after.totals[kind]} after"
                )

    def _progress(self, address: str) -> _Progress | None:
        """Return the progress; None when the service does not give it."""
        answer = self._get(f"{address}/v1/imports", {})
        if answer is None or not self._courses:
            return None
        applied, totals = 0, {"deposits": _NOTHING, "withdrawals": _NOTHING}
        for source in answer["imports"]:
            if source["rows"] != source["applied"] + source["rejected"] + source["waiting"]:
                self._tell(f"rows are not applied + rejected + waiting: {source}")
            course = self._courses.get(source["path"])
            if course is None:
                return None
            applied += int(source["applied"])
            for kind, text in source["control_totals"].items():
                expected = course[int(source["applied"])][kind]
                if Decimal(text) != expected:
                    self._tell(f"{kind} of the first {source['applied']} rows are {expected}, not {text}")
                totals[kind] += expected
        return _Progress(applied, totals)

    def _get(self, url: str, parameters: Mapping[str, str]) -> Any:
        answer = self._client.get(url, params=parameters)
        if answer.status_code == httpx.codes.OK:
            return json.loads(answer.text, parse_float=Decimal)
        if answer.status_code != _UNAVAILABLE:
            self._tell(f"{answer.status_code} for {url}: {answer.text[:200]}")
        return None

    def _tell(self, violation: str) -> None:
        if len(self.violations) < _MOST_TOLD:
            self.violations.append(violation)
