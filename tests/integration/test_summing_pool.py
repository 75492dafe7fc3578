"""SummingPool in worker processes: the same answers, whatever becomes of a worker; no process is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest

from daybook.importing.summing_pool import WORTH_A_PROCESS, SummingPool, SummingWorker
from daybook.sources.records import Layout
from daybook.sources.row_sums import Limits, RowSums, sum_rows_within

LAYOUT = Layout(width=4, timestamp=0, type=1, payment_method=2, amount=3, sleep_ms=None)
LIMITS = Limits(1000, 1000)
PATIENCE_SECONDS = 20.0


def block(number: int) -> bytes:
    """Large enough for a worker; no two have the same sums, one row of each is bad."""
    lines = [
        f"2026-01-{1 + row % 28:02d}T10:30:00,deposit,method {row % 7},{1 + (row * number) % 99_991}.25\n"
        for row in range(60_000)
    ]
    lines[number] = "2026-01-01T10:30:00,deposit,visa,-1\n"
    return "".join(lines).encode()


def plain(content: bytes) -> list[RowSums]:
    return sum_rows_within(content, LAYOUT, "s", LIMITS)


def same(found: list[RowSums], expected: list[RowSums]) -> bool:
    one, other = (
        [part._replace(cells=part.cells.sums(), sketch=part.sketch.tolist()) for part in each]  # type: ignore[arg-type]
        for each in (found, expected)
    )
    return one == other


async def sum_block(pool: SummingPool, content: bytes) -> list[RowSums]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await pool.sum_block(content, LAYOUT, "s", LIMITS, threading.Event())


def pid_of(worker: SummingWorker) -> int:
    return worker._process.pid


def is_there(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_workers_answer_as_this_process_does_each_for_its_own_block() -> None:
    blocks = [block(number) for number in range(1, 7)]
    assert min(map(len, blocks)) >= WORTH_A_PROCESS
    async with SummingPool(2) as pool:
        answers = await asyncio.gather(*(sum_block(pool, content) for content in blocks))
        pids = [pid_of(worker) for worker in pool._workers]
        assert len(pids) == 2
    assert all(same(answer, plain(content)) for answer, content in zip(answers, blocks, strict=True))
    assert not any(map(is_there, pids))


async def test_small_blocks_and_single_processors_need_no_worker() -> None:
    small = block(1)[: WORTH_A_PROCESS // 2].rpartition(b"\n")[0] + b"\n"
    async with SummingPool(2) as pool, SummingPool(0) as alone:
        assert same(await sum_block(pool, small), plain(small))
        assert same(await sum_block(alone, block(1)), plain(block(1)))
        assert not pool._workers | alone._workers


async def test_a_killed_worker_loses_nothing_and_is_replaced() -> None:
    content = block(3)
    async with SummingPool(1) as pool:
        await sum_block(pool, content)
        (worker,) = pool._workers
        os.kill(pid_of(worker), signal.SIGSTOP)
        asking = asyncio.create_task(sum_block(pool, content))
        await asyncio.sleep(0.2)
        os.kill(pid_of(worker), signal.SIGKILL)
        assert same(await asking, plain(content))
        assert same(await sum_block(pool, content), plain(content))
        assert len(pool._workers) == 1
        assert worker not in pool._workers


async def test_workers_that_keep_dying_are_given_up_and_nobody_waits_for_them() -> None:
    content = block(4)
    async with SummingPool(2) as pool:
        await sum_block(pool, content)
        while pool._workers:
            for worker in pool._workers:
                with suppress(ProcessLookupError):
                    os.kill(pid_of(worker), signal.SIGKILL)
            answers = await asyncio.gather(*(sum_block(pool, content) for _ in range(5)))
            assert all(same(answer, plain(content)) for answer in answers)
            if pool._wanted == 0:
                break
        assert same(await sum_block(pool, content), plain(content))


async def test_where_no_process_can_be_started_blocks_are_added_up_here() -> None:
    async with SummingPool(2, python="/nowhere/python") as pool:
        assert same(await sum_block(pool, block(7)), plain(block(7)))
        assert same(await sum_block(pool, block(7)), plain(block(7)))


async def test_a_caller_that_is_cancelled_leaves_no_answer_for_the_next() -> None:
    first, second = block(5), block(6)
    async with SummingPool(1) as pool:
        await sum_block(pool, first)
        (worker,) = pool._workers
        os.kill(pid_of(worker), signal.SIGSTOP)
        asking = asyncio.create_task(sum_block(pool, first))
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        os.kill(pid_of(worker), signal.SIGCONT)
        assert same(await sum_block(pool, second), plain(second))
        assert pool._workers == {worker}


async def test_a_worker_that_is_killed_after_its_caller_was_cancelled_is_replaced() -> None:
    content = block(7)
    async with SummingPool(1) as pool:
        await sum_block(pool, content)
        (worker,) = pool._workers
        os.kill(pid_of(worker), signal.SIGSTOP)
        asking = asyncio.create_task(sum_block(pool, content))
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        os.kill(pid_of(worker), signal.SIGKILL)
        assert same(await sum_block(pool, content), plain(content))
        assert len(pool._workers) == 1
        assert worker not in pool._workers
    assert not is_there(pid_of(worker))


def test_workers_end_with_a_process_that_is_killed() -> None:
    program = (
        "import asyncio, time\n"
        "from daybook.importing.summing_pool import SummingPool\n"
        "async def main():\n"
        "    async with SummingPool(2) as pool:\n"
        "        pool.start()\n"
        "        while pool._idle.qsize() < 2:\n"
        "            await asyncio.sleep(0.01)\n"
        "        print(*(worker._process.pid for worker in pool._workers), flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_there, pids))
        owner.kill()
    end = time.monotonic() + PATIENCE_SECONDS
    while any(map(is_there, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(is_there, pids))
