"""Waits of the background work: each knows its reason and its beginning, so that no wait is silent."""

import time
from collections.abc import Callable, Mapping


class Wait:
    """The wait of one part of the work. It lasts from the first `begin` to the next `end`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._since = clock, 0.0
        self.reason = ""
        """The thing that the work waits for, as text for people; empty while it does not wait."""

    def begin(self, reason: str) -> None:
        """Note that the work waits. A wait that only changes its reason goes on."""
        if not self.reason:
            self._since = self._clock()
        self.reason = reason

    def end(self) -> None:
        self.reason = ""

    @property
    def seconds(self) -> float:
        """Seconds since the wait began; 0 while the work does not wait."""
        return self._clock() - self._since if self.reason else 0.0

    def __str__(self) -> str:
        return f"{self.reason} (for {self.seconds:.0f} s)"


def longer_than(seconds: float, waits: Mapping[str, Wait]) -> dict[str, str]:
    """Return the waits, by name, that have lasted longer than `seconds`, as text for people."""
    return {name: str(wait) for name, wait in waits.items() if wait.reason and wait.seconds >= seconds}
