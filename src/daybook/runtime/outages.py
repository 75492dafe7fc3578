"""Outages in the log: one line when one begins, reminders at growing intervals, one line when it is over."""

import time
from collections.abc import Callable
from typing import Any

_FIRST_REMINDER_SECONDS, _LONGEST_REMINDER_SECONDS = 60.0, 3600.0


class Outage:
    """The outage of what one part of the work needs."""

    def __init__(self, log: Any, over: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the part's logger and `over`, the line for the end of an outage, such as `the dumper goes on`."""
        self._log, self._over, self._clock = log, over, clock
        self._kind: object = None
        self._began = self._remind_at = self._interval = 0.0

    def goes_on(self, kind: object, event: str, **facts: object) -> None:
        """Note a failed try. Its `event` and `facts` are logged if the outage begins, changes its `kind` or lasts."""
        now = self._clock()
        if self._kind is None:
            self._began = now
        if kind != self._kind:
            self._kind, self._interval = kind, _FIRST_REMINDER_SECONDS
        elif now < self._remind_at:
            return
        else:
            self._interval = min(2 * self._interval, _LONGEST_REMINDER_SECONDS)
            facts |= {"for_seconds": round(now - self._began)}
        self._remind_at = now + self._interval
        self._log.warning(event, **facts, shown_by_command=True)

    def over(self) -> None:
        """Note that the work goes on."""
        if self._kind is not None:
            self._kind = None
            seconds = round(self._clock() - self._began, 1)
            self._log.info(self._over, after_seconds=seconds, shown_by_command=True)
