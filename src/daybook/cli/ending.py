"""The end of a command by Ctrl-C or SIGTERM: soon, whatever it waits for; at once by a second Ctrl-C."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from daybook.runtime.stop import StopToken
from daybook.settings import Settings

Answer = TypeVar("Answer")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CTRL_C_GRACE_SECONDS = 1.0
_FORCE_SECONDS = 2.0
_SHOW_CURSOR = "\x1b[?25h"


class Interruption(StopToken):
    """A stop token that SIGTERM or Ctrl-C sets. Ctrl-C leaves the work less time to finish."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.grace_seconds = settings.graceful_shutdown_seconds
        self.exit_code = 0
        """128 and the number of the first signal; 0 before it."""
        self._force_seconds = settings.force_shutdown_seconds
        _on_signals(self._take)

    def _take(self, number: int) -> None:
        self.exit_code = self.exit_code or 128 + number
        self.set()
        then = "; run the command again to go on"
        if number == signal.SIGINT:
            self.grace_seconds = min(self.grace_seconds, _CTRL_C_GRACE_SECONDS)
            _end_by_force_after(_FORCE_SECONDS, number, then)
        else:
            _end_by_force_after(self.grace_seconds + self._force_seconds, number, then)


def run(main: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a command that only reads; a signal cancels it, and ends the process by force if that takes long.

    Raises KeyboardInterrupt after Ctrl-C, SystemExit after SIGTERM.
    """
    ended_by: list[int] = []

    async def until_signal() -> Answer:
        task = asyncio.ensure_future(main)

        def take(number: int) -> None:
            ended_by.append(number)
            _end_by_force_after(_FORCE_SECONDS, number)
            task.cancel()

        _on_signals(take)
        return await task

    try:
        return uvloop.run(until_signal())
    except asyncio.CancelledError:
        if ended_by[:1] == [signal.SIGINT]:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + ended_by[0]) from None


def _on_signals(take: Callable[[int], None]) -> None:
    taken: set[int] = set()

    def take_or_end(number: int) -> None:
        if number == signal.SIGINT in taken:
            _end(number, "\n")
        taken.add(number)
        take(number)

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, take_or_end, number)


def _end_by_force_after(seconds: float, number: int, then: str = "") -> None:
    """End the process by force after `seconds`. The next start finds an embedded server that is left over."""
    message = f"daybook: not done {seconds:g} s after the stop signal: ended by force{then}\n"
    timer = threading.Timer(seconds, _end, (number, message))
    timer.daemon = True
    timer.start()


def _end(number: int, message: str) -> None:
    cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
    sys.stderr.write(f"{cursor}{message}")
    sys.stderr.flush()
    os._exit(128 + number)
