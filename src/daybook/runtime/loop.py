"""The loop of all background work: it repeats a step, and pauses longer after each failure in a row."""

from collections.abc import Awaitable, Callable

from daybook.errors import StoreUnavailableError
from daybook.runtime.stop import StopToken
from daybook.runtime.waits import Wait


class Backoff:
    """Growing pauses between tries."""

    def __init__(self, first: float = 0.1, longest: float = 3.0) -> None:
        """Take the `first` and the `longest` pause, in seconds."""
        self._first, self._longest = first, longest
        self._next = first

    def seconds(self) -> float:
        """Return the pause before the next try, and double the one after it."""
        now, self._next = self._next, min(self._next * 2, self._longest)
        return now

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._next = self._first


async def repeat(
    step: Callable[[], Awaitable[float]],
    stop: StopToken,
    on_failure: Callable[[Exception, float], Awaitable[None]],
    *,
    retried: tuple[type[Exception], ...] = (StoreUnavailableError,),
    raised: tuple[type[Exception], ...] = (),
    backoff: Backoff | None = None,
    wait: Wait | None = None,
) -> None:
    """Call `step` until the stop. `step` returns the seconds to wait before its next call.

    After an exception in `retried`, call `on_failure` with the exception and the seconds until the next try.
    Raises every other exception of `step`, and those in `raised` even when they are in `retried` too. A step that runs
    for long resets `backoff` itself. `wait` is noted from a failure until the next step that succeeds.
    """
    backoff, wait = backoff or Backoff(), wait or Wait()
    try:
        while not stop.is_set():
            try:
                seconds = await step()
                backoff.reset()
                wait.end()
            except raised:
                raise
            except retried as error:
                seconds = backoff.seconds()
                wait.begin(str(error))
                await on_failure(error, seconds)
            if seconds:
                await stop.wait(seconds)
    finally:
        wait.end()
