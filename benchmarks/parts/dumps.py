"""A dump of 10,000 changed buckets: into SQLite, and into MongoDB compared with a bare `bulk_write`."""

import asyncio
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from bson import Decimal128, Int64
from pymongo import AsyncMongoClient, UpdateOne
from pymongo.write_concern import WriteConcern

from benchmarks.lane import Hot, hot_lane
from benchmarks.measure import BenchmarkError, Spread, ratios
from benchmarks.mongo_server import mongo_server
from benchmarks.plan import Plan
from benchmarks.results import Results
from daybook import logs, memory
from daybook.domain.bucket import TYPES, Bucket, BucketState, Cell
from daybook.domain.money import to_decimal
from daybook.stores import mongo_schema
from daybook.stores.commit import BucketWrite, Commit
from daybook.stores.mongo_archive import MongoArchive
from daybook.stores.sqlite_archive import SqliteArchive

BUCKETS, METHODS = 10_000, 5
_DATABASE = "bench"
_PER_COMMIT = 500


class Dumped(NamedTuple):
    seconds: float
    waited: float


def run(plan: Plan, results: Results) -> None:
    logs.configure(quiet=True)
    memory.tune()
    asyncio.run(_sqlite(plan, results))
    if not plan.quick:
        asyncio.run(_mongo(plan, results))


async def _sqlite(plan: Plan, results: Results) -> None:
    with tempfile.TemporaryDirectory(prefix="dump-", dir=plan.folder) as name:
        async with hot_lane(Path(name), SqliteArchive(Path(name) / "archive.sqlite")) as hot:
            dumps = [await _dump_all(hot, number) for number in range(plan.rounds + 1)]
    _add(plan, results, "SQLite, all new", dumps[:1])
    _add(plan, results, "SQLite, all changed", dumps[1:])


def _add(plan: Plan, results: Results, name: str, dumps: list[Dumped]) -> None:
    spent, waited = Spread.of([dump.seconds for dump in dumps]), Spread.of([dump.waited for dump in dumps])
    measured = f"{spent.text('.2f')} s, {waited.median:.2f} s of it until Redis has it on disk"
    plan.say(f"  {name}: {measured}")
    results.add(f"dump of {BUCKETS:,} buckets, {name}", measured, "≤ 1 s", met=spent.median <= 1)


async def _mongo(plan: Plan, results: Results) -> None:
    target = "≤ 1.5"
    with tempfile.TemporaryDirectory(prefix="dump-", dir=plan.folder) as name:
        (Path(name) / "mongo").mkdir()
        with mongo_server(Path(name) / "mongo") as server:
            if server is None:
                results.add(f"dump of {BUCKETS:,} buckets, MongoDB by bulk_write", "not installed", target)
                return
            dumps, bare = [], []
            async with hot_lane(Path(name), MongoArchive(server.uri, _DATABASE, timeout_seconds=60)) as hot:
                for number in range(plan.rounds):
                    dumps.append((await _dump_all(hot, number)).seconds)
                    bare.append(await _bulk_write(server.uri, number))
                    plan.say(f"  {server.name}: dump {dumps[-1]:.2f} s, bulk_write {bare[-1]:.2f} s")
    share = ratios(dumps, bare)
    results.add(
        f"dump of {BUCKETS:,} buckets, {server.name} by a bare bulk_write",
        f"{share.text('.2f')}; {Spread.of(dumps).median:.2f} s by {Spread.of(bare).median:.2f} s",
        target,
        met=share.median <= 1.5,
    )


async def _dump_all(hot: Hot, number: int) -> Dumped:
    """Change every bucket, then dump. `number` counts the calls, from 0."""
    buckets = _buckets()
    for first in range(0, len(buckets), _PER_COMMIT):
        expected = number or None
        writes = [BucketWrite(bucket, expected, _state(number)) for bucket in buckets[first : first + _PER_COMMIT]]
        sequence = await hot.stores.commits.sequence() + 1
        commit = Commit(sequence, trim=0, freed_bytes=0, ledgers=[], buckets=writes, rejects=[])
        if await hot.stores.commits.commit(hot.token, commit):
            raise BenchmarkError("the buckets are not as expected")
    waited = hot.connection.waited_seconds
    begun = time.perf_counter()
    written = await hot.dumper.dump_once()
    seconds = time.perf_counter() - begun
    if written.inserted + written.updated != len(buckets):
        raise BenchmarkError(f"the dump wrote {written}")
    return Dumped(seconds, hot.connection.waited_seconds - waited)


def _buckets() -> list[Bucket]:
    days = [(date(2000, 1, 1) + timedelta(days=day)).isoformat() for day in range(BUCKETS // len(TYPES))]
    return [Bucket(day, kind) for day in days for kind in TYPES]


def _state(number: int) -> BucketState:
    cells = {f"method_{method:03d}": Cell(123_456_789_012_345 + number, 678 + number) for method in range(METHODS)}
    return BucketState(number + 1, cells)


async def _bulk_write(uri: str, number: int) -> float:
    """Write the same documents in one call without conditions, with the same indexes and write concern."""
    state = _state(number)
    amounts = {method: Decimal128(to_decimal(cell.units)) for method, cell in state.cells.items()}
    counts = {method: Int64(cell.transactions) for method, cell in state.cells.items()}
    content: dict[str, Any] = {"TotalAmount": amounts, "TransactionCount": counts, "Version": Int64(state.version)}
    now = datetime.now(UTC)
    writes = [
        UpdateOne({"Date": day, "Type": kind}, {"$set": {**content, "LastUpdated": now}}, upsert=True)
        for day, kind in _buckets()
    ]
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        database = client.get_database(f"{_DATABASE}_bare", write_concern=WriteConcern("majority", j=True))
        if number == 0:
            await mongo_schema.prepare(database)
        begun = time.perf_counter()
        await database[mongo_schema.AGGREGATES].bulk_write(writes, ordered=False)
        return time.perf_counter() - begun
