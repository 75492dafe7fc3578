"""Bounds the time that questions to a MongoDB that does not answer take."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from daybook.errors import StoreUnavailableError
from daybook.stores.mongo_client import translated

_BRIEF_SECONDS = 0.3
_PAUSE_SECONDS = 1.0
"""Pause after a brief question without an answer: further ones fail at once meanwhile."""


class Patience:
    """Lets one question at a time wait for a MongoDB that did not answer the last one; the others fail at once."""

    def __init__(self) -> None:
        self._problem = ""
        self._asking = 0
        self._brief_again = 0.0

    @asynccontextmanager
    async def ask(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Run one question, for at most `seconds`. Raises StoreUnavailableError, and what `translated` raises."""
        if self._problem and self._asking:
            raise StoreUnavailableError(self._problem)
        self._asking += 1
        try:
            with translated():
                async with asyncio.timeout(seconds):
                    yield
            self._problem = ""
        except TimeoutError:
            self._problem = f"MongoDB does not answer: no answer within {seconds:g} s"
            raise StoreUnavailableError(self._problem) from None
        except StoreUnavailableError as error:
            self._problem = str(error)
            raise
        finally:
            self._asking -= 1

    @asynccontextmanager
    async def ask_briefly(self) -> AsyncIterator[None]:
        """Run a question that can do without an answer. Raises StoreUnavailableError after 0.3 s at most."""
        if time.monotonic() < self._brief_again:
            raise StoreUnavailableError("MongoDB does not answer quickly")
        try:
            with translated():
                async with asyncio.timeout(_BRIEF_SECONDS):
                    yield
        except (TimeoutError, StoreUnavailableError):
            self._brief_again = time.monotonic() + _PAUSE_SECONDS
            raise StoreUnavailableError("MongoDB does not answer quickly") from None
