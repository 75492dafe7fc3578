"""The failpoints of the package (`daybook.failpoints`), grouped by the code that reaches them."""

from collections.abc import Iterable

from daybook.stores.connection import SCRIPTS as _SCRIPT_NAMES

_AFTER_A_LOSS = ("waiting", "read_again", "adopt_queue")
_BY_AN_OPERATOR = ("change_held",)


def _around(scripts: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"redis.{script}.{moment}" for script in scripts for moment in ("before", "after"))


SCRIPTS = _around(script for script in _SCRIPT_NAMES if script not in _AFTER_A_LOSS + _BY_AN_OPERATOR)
"""The points before a script is sent and after its answer arrived."""
REQUEUE = _around(_AFTER_A_LOSS)
"""The same of the scripts that run when batches left the queue without a commit."""
SQLITE = (
    "sqlite.open.begun", "sqlite.open.raised", "sqlite.open.committed", "sqlite.write.begun", "sqlite.write.buckets",
    "sqlite.write.sources", "sqlite.write.rejects", "sqlite.write.restatements",
    "sqlite.write.contributions", "sqlite.write.committed", "sqlite.load.done",
)  # fmt: skip
MONGO = (
    "mongo.open.begun", "mongo.open.prepared", "mongo.open.raised", "mongo.open.redone", "mongo.open.swept",
    "mongo.write.begun", "mongo.write.redo", "mongo.write.accepted", "mongo.apply.buckets", "mongo.apply.sources",
    "mongo.apply.rejects", "mongo.apply.restatements", "mongo.apply.contributions", "mongo.finish.fence",
    "mongo.finish.swept", "mongo.load.done",
)  # fmt: skip
FILES = ("file.identified", "file.opened", "file.header", "file.block", "file.summed", "file.encoded", "file.end")
REVERSAL = ("reversal.marked", "reversal.read", "reversal.queued", "replacement.read")
"""The points in the reversal of a source; the last one only where a file takes its place."""
SERVER = ("server.spawned", "server.recorded")
"""The points in the start of the embedded server."""
