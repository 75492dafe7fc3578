"""Failpoints: named places in the code where a fault campaign can kill this process.

`DAYBOOK_FAILPOINT=redis.commit.after:3` kills the process (SIGKILL) at the third hit of that failpoint.
`DAYBOOK_FAILPOINTS_SEEN=FILE` appends the name of each failpoint to FILE at its first hit.
Without these two variables a failpoint does nothing.
"""

import os
import signal
from collections import Counter
from pathlib import Path

_VARIABLE, _SEEN_VARIABLE = "DAYBOOK_FAILPOINT", "DAYBOOK_FAILPOINTS_SEEN"


class _Armed:
    def __init__(self, order: str, seen: str) -> None:
        self._point, _, nth = order.partition(":")
        self._nth = int(nth or 1)
        self._seen = Path(seen) if seen else None
        self._hits: Counter[str] = Counter()

    def hit(self, name: str) -> None:
        self._hits[name] += 1
        if self._seen is not None and self._hits[name] == 1:
            with self._seen.open("a") as file:
                file.write(f"{name}\n")
        if name == self._point and self._hits[name] >= self._nth:
            os.kill(os.getpid(), signal.SIGKILL)


_armed: _Armed | None = None


def arm() -> None:
    """Read the two variables from the environment; from now on the failpoints act on them."""
    global _armed  # noqa: PLW0603 - one process, one environment
    order, seen = os.environ.get(_VARIABLE, ""), os.environ.get(_SEEN_VARIABLE, "")
    _armed = _Armed(order, seen) if order or seen else None


def hit(*parts: str) -> None:
    """Mark that this process reached the failpoint named by `parts`."""
    if _armed is not None:
        _armed.hit(".".join(parts))
