"""All stores of one Daybook, as one object."""

from dataclasses import dataclass, field

from daybook.stores.archive import Archive
from daybook.stores.commit import Commits
from daybook.stores.connection import RedisConnection
from daybook.stores.dumps import Dumps
from daybook.stores.evicted import Evicted
from daybook.stores.hot_buckets import HotBuckets
from daybook.stores.requeue import Requeue
from daybook.stores.source_registry import SourceRegistry
from daybook.stores.transaction_queue import TransactionQueue


@dataclass(kw_only=True)
class Stores:
    """One Redis, with an object for each kind of use, and the archive beside it."""

    redis: RedisConnection
    queue: TransactionQueue
    archive: Archive
    hot: HotBuckets = field(init=False)
    sources: SourceRegistry = field(init=False)
    commits: Commits = field(init=False)
    dumps: Dumps = field(init=False)
    requeue: Requeue = field(init=False)
    evicted: Evicted = field(init=False)

    def __post_init__(self) -> None:
        self.hot, self.sources = HotBuckets(self.redis), SourceRegistry(self.redis)
        self.commits, self.dumps = Commits(self.redis, self.queue.key), Dumps(self.redis)
        self.evicted = Evicted(self.redis)
        self.requeue = Requeue(self.redis, self.queue.key)
