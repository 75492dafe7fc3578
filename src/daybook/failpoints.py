"""Named instants at which a fault campaign ends this process, as `kill -9` would; in ordinary life nothing happens.

`DAYBOOK_FAILPOINT=redis.commit.after:3` ends it at the third hit of that point, `DAYBOOK_FAILPOINTS_SEEN=FILE`
appends each point's name to the file when it is first hit.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

_VARIABLE, _SEEN_VARIABLE = "DAYBOOK_FAILPOINT", "DAYBOOK_FAILPOINTS_SEEN"

SQLITE = (
    "sqlite.open.begun", "sqlite.open.raised", "sqlite.open.committed", "sqlite.write.begun", "sqlite.write.buckets",
    "sqlite.write.sources", "sqlite.write.rejects", "sqlite.write.restatements", "sqlite.write.committed",
    "sqlite.load.done",
)  # fmt: skip
MONGO = (
    "mongo.open.begun", "mongo.open.prepared", "mongo.open.raised", "mongo.open.redone", "mongo.open.swept",
    "mongo.write.begun", "mongo.write.redo", "mongo.write.accepted", "mongo.apply.buckets", "mongo.apply.sources",
    "mongo.apply.rejects", "mongo.apply.restatements", "mongo.finish.fence", "mongo.finish.swept", "mongo.load.done",
)  # fmt: skip
FILES = ("file.identified", "file.opened", "file.header", "file.block", "file.folded", "file.encoded", "file.end")
CORRECTIONS = ("sqlite.correct.done", "mongo.correct.done")
"""Of a life that imports a file of corrections."""
SERVER = ("server.spawned", "server.recorded")
"""Of the embedded server."""


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


def of_scripts(scripts: Iterable[str]) -> tuple[str, ...]:
    """Before a script is sent, and after its answer has come."""
    return tuple(f"redis.{script}.{moment}" for script in scripts for moment in ("before", "after"))


def arm() -> None:
    """Obey this process's environment from now on; without the two variables nothing changes."""
    global _armed  # noqa: PLW0603 - one process, one environment
    order, seen = os.environ.get(_VARIABLE, ""), os.environ.get(_SEEN_VARIABLE, "")
    _armed = _Armed(order, seen) if order or seen else None


def hit(*words: str) -> None:
    """Tell that this process has come to the point whose name the words make up."""
    if _armed is not None:
        _armed.hit(".".join(words))
