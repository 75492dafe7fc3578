"""Measures the stages of an import one after the other on one core, nothing at the same time."""

import asyncio
import cProfile
import pstats
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.files import DataFile
from benchmarks.lane import MAX_BUCKETS, hot_lane
from benchmarks.plan import Plan
from benchmarks.results import Results
from daybook import logs, memory
from daybook.domain.position import Position
from daybook.domain.source import Source
from daybook.importing.context import BLOCK_BYTES
from daybook.importing.summing_pool import SummingWorker
from daybook.importing.summing_worker import Task
from daybook.lane.aggregator import Aggregator
from daybook.lane.element_reader import ElementReader
from daybook.sources.batch_codec import BatchHeader, encode
from daybook.sources.columns.cells import empty
from daybook.sources.columns.sure_rows import sum_sure_rows
from daybook.sources.reader import BlockReader
from daybook.sources.records import Header
from daybook.sources.row_sums import Limits, sum_rows_within
from daybook.stores.sqlite_archive import SqliteArchive
from daybook.stores.transaction_queue import TransactionQueue

_MOST_ROWS = 2_000_000
_SOURCE = "stages"
_LIMITS = Limits(MAX_BUCKETS // 2, 1000)
_FOLD_STEPS = {
    "_split": "find fields", "_days": "timestamps", "_types": "types", "codes": "payment methods",
    "_amounts": "amounts", "_add_up": "group", "joined": "group",
}  # fmt: skip


class Stages:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.rows = self.cells = 0

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - begun


def run(plan: Plan, results: Results) -> None:
    logs.configure(quiet=True)
    memory.tune()
    for name, file in (
        ("one month", plan.files.month(plan.rows)),
        ("10 years of 50 methods, a tenth late", plan.files.ten_years(plan.rows, 0.1)),
    ):
        stages = asyncio.run(_measure(plan, plan.files.head(file, _MOST_ROWS)))
        per_million = ", ".join(
            f"{stage} {seconds / stages.rows * 1e9:.0f}" for stage, seconds in stages.seconds.items()
        )
        per_batch = stages.cells / (stages.rows / 180_000)
        results.add(f"stages, {name}: ms for a million rows ({per_batch:,.0f} totals in 8 MiB)", per_million)
        plan.say(f"  {name}: {per_million}")


async def _measure(plan: Plan, file: DataFile) -> Stages:
    stages = Stages()
    with tempfile.TemporaryDirectory(prefix="stages-", dir=plan.folder) as name:
        archive = SqliteArchive(Path(name) / "archive.sqlite")
        async with hot_lane(Path(name), archive) as hot:
            sources, queue = hot.stores.sources, hot.stores.queue
            await sources.register(Source(_SOURCE, str(file.path), b""), (await sources.known()).version)
            aggregator = Aggregator(
                hot.stores,
                hot.dumper,
                token=hot.token,
                max_buckets=MAX_BUCKETS,
                max_methods=1000,
            )
            reader = BlockReader(file.path)
            header = reader.header()
            assert header is not None
            await _blocks(stages, reader, header, queue, aggregator)
            reader.close()
            with stages.timed("dump"):
                await hot.dumper.dump_once()
    return stages


async def _blocks(
    stages: Stages, reader: BlockReader, header: Header, queue: TransactionQueue, aggregator: Aggregator
) -> None:
    worker, steps = SummingWorker(), cProfile.Profile()
    worker.wait_until_ready()
    position = Position(offset=header.size, line=header.lines, digest=reader.pass_header(header.size))
    await queue.enqueue(_SOURCE, 0, position, encode(BatchHeader(_SOURCE, 0, position), empty()), [])
    await aggregator.aggregate_once()
    while True:
        with stages.timed("read, hash"):
            block = reader.next_block(BLOCK_BYTES)
        if block is None:
            break
        (sums,) = sum_rows_within(block.data, header.layout, _SOURCE, _LIMITS)
        with stages.timed("fold"):
            sum_rows_within(block.data, header.layout, _SOURCE, _LIMITS)
        with stages.timed("pass to a process and back"):
            worker.sum_block(Task(0, block.data, header.layout, _SOURCE, _LIMITS))
        steps.runcall(sum_sure_rows, block.data, header.layout)
        end = sums.advance(position, block.digest)
        with stages.timed("encode"):
            element = encode(BatchHeader(_SOURCE, position.offset, end), sums.cells)
        with stages.timed("Redis in"):
            await queue.enqueue(_SOURCE, position.offset, end, element, sums.rejects)
        with stages.timed("Redis out"):
            elements = await queue.peek(1, len(element))
        with stages.timed("decode"):
            ElementReader({_SOURCE: position}, MAX_BUCKETS).apply(elements)
        with stages.timed("commit"):
            await aggregator.aggregate_once()
        stages.rows += sums.rows
        stages.cells += len(sums.cells.days)
        position = end
    worker.kill()
    stages.seconds["pass to a process and back"] -= stages.seconds["fold"]
    stages.seconds["commit"] -= stages.seconds["Redis out"] + stages.seconds["decode"]
    _take_apart(stages, steps)


def _take_apart(stages: Stages, steps: cProfile.Profile) -> None:
    """Divide the time of the fold among its steps, in the shares that a profiler sees."""
    spent: dict[str, float] = defaultdict(float)
    for (_, _, function), (_, _, _, cumulative, _) in pstats.Stats(steps).stats.items():  # type: ignore[attr-defined]
        if function in _FOLD_STEPS:
            spent[_FOLD_STEPS[function]] += cumulative
    whole = stages.seconds.pop("fold")
    parts = {f"fold: {name}": whole * seconds / sum(spent.values()) for name, seconds in spent.items()}
    stages.seconds = parts | stages.seconds
