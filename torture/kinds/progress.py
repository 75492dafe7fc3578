"""Reads the progress of an import, so that faults happen during work and not during waiting."""

from contextlib import suppress

import httpx

from support.service import Service
from torture.case import Input


class Progress:
    """The rows of a file that the service has read. A service that does not answer makes no progress."""

    def __init__(self, service: Service, file: Input) -> None:
        self._service, self._file = service, file
        self.rows = 0

    def has_grown(self) -> bool:
        """Return True when rows were read since the last call, and once all rows are read."""
        before = self.rows
        self.rows = max(before, self._told("rows"))
        return self.rows > before or self.rows == self._file.truth.rows

    def is_done(self) -> bool:
        """Return True when all rows are read and none waits."""
        return self._told("rows") == self._file.truth.rows and self._told("waiting") == 0

    def forget(self) -> None:
        """Start from zero again; after a restore Daybook reads rows once more."""
        self.rows = self._told("rows")

    def _told(self, what: str) -> int:
        with suppress(httpx.TransportError, AssertionError):
            found = self._service.import_of(self._file.path) if self._service.address else None
            return int(found[what]) if found else 0
        return 0
