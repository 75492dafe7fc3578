"""The one loop of all background work: a step, again and again; after a failure a pause that grows."""

from collections.abc import Awaitable, Callable

from daybook.errors import StoreUnavailableError
from daybook.runtime.stop import StopToken


class Backoff:
    """Growing pauses between tries."""

    def __init__(self, first: float = 0.1, longest: float = 3.0) -> None:
        self._first, self._longest = first, longest
        self._next = first

    def seconds(self) -> float:
        now, self._next = self._next, min(self._next * 2, self._longest)
        return now

    def reset(self) -> None:
        self._next = self._first


async def repeat(
    step: Callable[[], Awaitable[float]],
    stop: StopToken,
    on_failure: Callable[[Exception, float], Awaitable[None]],
    *,
    retried: tuple[type[Exception], ...] = (StoreUnavailableError,),
    raised: tuple[type[Exception], ...] = (),
    backoff: Backoff | None = None,
) -> None:
    """Call `step` until the stop; it returns the seconds to wait before the next call.

    After an exception among `retried` it calls `on_failure` with the exception and the seconds until the next try.
    Exceptions among `raised`, and all others, leave the loop. A step that works for long resets `backoff` itself.
    """
    backoff = backoff or Backoff()
    while not stop.is_set():
        try:
            seconds = await step()
            backoff.reset()
        except raised:
            raise
        except retried as error:
            seconds = backoff.seconds()
            await on_failure(error, seconds)
        if seconds:
            await stop.wait(seconds)
