"""How far an import is, so that faults fall into work and not into waiting."""

from contextlib import suppress

import httpx

from support.service import Service
from torture.case import Input


class Progress:
    """Rows read of a file, as the service tells; a service that does not answer has made none."""

    def __init__(self, service: Service, file: Input) -> None:
        self._service, self._file = service, file
        self.rows = 0

    def has_grown(self) -> bool:
        """Since it was asked last; also once all rows are read."""
        before = self.rows
        self.rows = max(before, self._told("rows"))
        return self.rows > before or self.rows == self._file.truth.rows

    def is_done(self) -> bool:
        """All rows are read and none waits."""
        return self._told("rows") == self._file.truth.rows and self._told("waiting") == 0

    def forget(self) -> None:
        """Rows may be read once more after Redis went back."""
        self.rows = self._told("rows")

    def _told(self, what: str) -> int:
        with suppress(httpx.TransportError, AssertionError):
            found = self._service.import_of(self._file.path) if self._service.address else None
            return int(found[what]) if found else 0
        return 0
