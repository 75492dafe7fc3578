"""The parts of Daybook in this process, on a real server, for tests that run single steps."""

import asyncio
import csv
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from daybook.books.contributions import Effect, effect_of, effects_of
from daybook.books.totals import read_totals
from daybook.clock import utc_now
from daybook.domain.money import to_decimal
from daybook.importing.context import ImportContext, ImportOptions, Step
from daybook.importing.correcting import Correcting
from daybook.importing.importer import Importer
from daybook.importing.reverting import Reverter
from daybook.importing.summing_pool import SummingPool
from daybook.lane.aggregator import Aggregator
from daybook.lane.dumper import Dumper, Retention
from daybook.lane.recovery import recover
from daybook.runtime.stop import StopToken
from daybook.sources.columns.cells import CellColumns
from daybook.sources.profiles import Profiles
from daybook.sources.row_sums import Limits
from daybook.stores import redis_keys
from daybook.stores.connection import RedisConnection
from daybook.stores.lease import Lease
from daybook.stores.sqlite_archive import SqliteArchive
from daybook.stores.stores import Stores
from daybook.stores.transaction_queue import QueueLimits, TransactionQueue

QUEUE = "TransactionQueue"
Totals = dict[tuple[str, str, str], Decimal]


@dataclass
class Parts:
    stores: Stores
    aggregator: Aggregator
    dumper: Dumper
    token: str
    max_buckets: int
    importers: list[Importer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.redis, self.queue, self.archive = self.stores.redis, self.stores.queue, self.stores.archive
        self.reverter = Reverter(self.stores, effect_of)
        self.hot, self.dumps, self.sources = self.stores.hot, self.stores.dumps, self.stores.sources

    def importer(self, path: Path, *, buckets: int | None = None, profiles: Profiles | None = None) -> Importer:
        """Make an importer for a file. No batch touches more than `buckets` buckets."""
        self.importers.append(Importer(path, self.context(buckets, profiles)))
        return self.importers[-1]

    def context(self, buckets: int | None = None, profiles: Profiles | None = None) -> ImportContext:
        options = ImportOptions(
            replay_speed=0,
            limits=Limits(buckets or self.max_buckets // 2, rejects=5),
            lease_seconds=60,
            alone=True,
            profiles=profiles or Profiles(),
        )
        return ImportContext(
            self.stores,
            asyncio.Semaphore(4),
            asyncio.Lock(),
            SummingPool(0),
            Correcting(self.stores),
            options,
        )

    async def import_all(self, path: Path) -> None:
        importer = self.importer(path, buckets=4)
        while await importer.import_next(StopToken()) is not Step.AT_END:
            pass

    async def drain(self) -> None:
        while await self.aggregator.aggregate_once():
            pass

    async def dump_without_settling(self) -> None:
        """Dump as a dumper that is killed between its write to the archive and the settling."""

        async def killed(*_: object) -> None:
            raise _KilledError

        self.dumps.settle = killed  # type: ignore[assignment,method-assign]
        with suppress(_KilledError):
            await self.dumper.dump_once()
        del self.dumps.settle

    async def effects(self) -> dict[str, Effect]:
        """Return what each source added: it must agree with the ledger, and be the totals when taken together."""
        found = await effects_of(self.stores)
        together: Totals = defaultdict(Decimal)
        for effect in found.values():
            assert effect.complete
            assert effect.adds_up, (effect.account, effect.ledger)
            for cell, amount in amounts_of(effect.cells).items():
                together[cell] += amount
        assert dict(together) == await self.totals()
        return found

    async def totals(self) -> Totals:
        days = await read_totals(self.stores, date.min, date.max)
        return {
            (day, kind, method): to_decimal(cell.units)
            for day, types in days.items()
            for kind, cells in types.items()
            for method, cell in cells.items()
        }


class _KilledError(Exception):
    pass


def amounts_of(cells: CellColumns) -> Totals:
    return {
        (bucket.day, bucket.type, method): to_decimal(cell.units)
        for bucket, held in cells.sums().items()
        for method, cell in held.items()
    }


@asynccontextmanager
async def lane(
    socket: Path,
    archive_path: Path,
    *,
    max_buckets: int = 1000,
    max_methods: int = 1000,
    age: timedelta = timedelta(days=7),
    queue: str = QUEUE,
    keep_contributions: bool = True,
    clock: Callable[[], datetime] = utc_now,
) -> AsyncIterator[Parts]:
    """Take the lane on a server, recover, and yield the parts. The next call takes the lane over."""
    redis = RedisConnection.to(unix_socket=str(socket), timeout_seconds=5)
    archive = SqliteArchive(archive_path)
    importers: list[Importer] = []
    try:
        await redis.check_server()
        lease = Lease(redis, redis_keys.LANE_LEASE, redis_keys.LANE, 60)
        await lease.acquire(steal=True)
        limits = QueueLimits(10_000, 1 << 24, 1 << 20)
        stores = Stores(redis=redis, queue=TransactionQueue(redis, queue, limits), archive=archive)
        await recover(stores, lease.token)
        retention = Retention(age, 0.0, max_buckets, 1 << 20)
        dumper = Dumper(stores, retention, token=lease.token)
        aggregator = Aggregator(
            stores,
            dumper,
            token=lease.token,
            max_buckets=max_buckets,
            max_methods=max_methods,
            keep_contributions=keep_contributions,
            clock=clock,
        )
        yield Parts(
            stores,
            aggregator,
            dumper,
            lease.token,
            max_buckets,
            importers,
        )
    finally:
        for importer in importers:
            await importer.close()
        await archive.close()
        await redis.close()


def oracle(*paths: Path) -> Totals:
    """Return the sums of files without bad rows, by plain Decimal arithmetic."""
    sums: Totals = defaultdict(Decimal)
    for path in paths:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                sums[row["timestamp"][:10], f"{row['type']}s", row["payment_method"]] += Decimal(row["amount"])
    return dict(sums)


def write_rows(path: Path, days: int = 3, rows: int = 400, seed: int = 1) -> Path:
    """Write a small file without bad rows and return its path. The same seed gives the same rows."""
    lines = ["timestamp,type,payment_method,amount"]
    for row in range(rows):
        number = (row * 7919 + seed * 104729) % 1_000_003
        kind = "deposit" if number % 2 else "withdrawal"
        lines.append(
            f"2026-01-{number % days + 1:02d}T10:00:00,{kind},method {number % 5},{number % 977 + 1}.{number % 100:02d}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path
