"""The failpoints of the package (`daybook.failpoints`), grouped by the code that reaches them."""

from daybook.stores.connection import SCRIPTS as _SCRIPT_NAMES

SCRIPTS = tuple(f"redis.{script}.{moment}" for script in _SCRIPT_NAMES for moment in ("before", "after"))
"""The points before a script is sent and after its answer arrived."""
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
FILES = ("file.identified", "file.opened", "file.header", "file.block", "file.summed", "file.encoded", "file.end")
SERVER = ("server.spawned", "server.recorded")
"""The points in the start of the embedded server."""
