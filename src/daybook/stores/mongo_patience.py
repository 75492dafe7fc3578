"""Bounds the time that questions to a MongoDB that does not answer take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from daybook.errors import StoreUnavailableError
from daybook.stores.mongo_client import translated


class Patience:
    """Lets one question at a time wait for a MongoDB that did not answer the last one; the others fail at once."""

    def __init__(self) -> None:
        self._problem = ""
        self._asking = 0

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
