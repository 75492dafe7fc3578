"""A lane and an importer over a bad network: whatever becomes of a request or its reply, every row counts once."""

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from daybook.stores.connection import SCRIPTS
from support.redis_server import Endpoint
from support.rows import Row, some_rows, sums_of, write
from support.running import QUEUE, Observer, at_work, prepare, watching
from support.tcp_proxy import Fault, TcpProxy, Words

CLIENT_SECONDS = 0.2
SLOW_SECONDS = 0.3
WRITING = ("acquire", "register", "enqueue", "commit", "snapshot", "settle", "evict", "restore")
COMMANDS = ("BLMOVE", "HGET", "HMGET", "HGETALL", "SMEMBERS", "INFO", "CONFIG", "TIME", "ZRANGE", "HLEN")
RANDOM_FAULTS, ROWS = 20, 120
AFTER_A_LOSS = ("waiting", "read_again")
BY_OPERATORS = ("change_held",)
"""`test_held_sources.py` has their replies lost."""


@pytest.fixture
async def proxy(shared_redis: Endpoint) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(shared_redis, SLOW_SECONDS) as running:
        yield running


@pytest.fixture
async def observer(shared_redis: Endpoint, tmp_path: Path) -> AsyncIterator[Observer]:
    """Has loaded the scripts, so that each call of one is one request."""
    async with watching(shared_redis, tmp_path / "archive.sqlite") as found:
        for script in found.redis._scripts.values():
            await found.redis.client.script_load(script.script)
        yield found


@pytest.mark.parametrize(
    ("script", "fault"),
    [(script, Fault.LOST_REPLY) for script in SCRIPTS if script not in (*AFTER_A_LOSS, *BY_OPERATORS, "adopt_queue")]
    + [(script, Fault.SLOW_REQUEST) for script in WRITING],
)
async def test_a_script_whose_reply_is_lost_or_that_runs_late_counts_once(
    proxy: TcpProxy, observer: Observer, tmp_path: Path, script: str, fault: Fault
) -> None:
    rows, pushed, archive = some_rows(1, 120), some_rows(2, 5), tmp_path / "archive.sqlite"
    file = write(tmp_path / "rows.csv", rows)
    await observer.push(*(row.json() for row in pushed))
    proxy.fault_at(fault, observer.redis._scripts[script].sha.encode())
    async with at_work(proxy.endpoint, archive, [file], timeout_seconds=CLIENT_SECONDS) as work:
        if script != "release":
            await work.until(partial(has_had, proxy, 1), f"a call of {script}")
        await work.until(partial(observer.all_done, [file]), "all rows applied")
    assert [each for each, _ in proxy.faults] == [fault]
    await check_exact(proxy, observer, archive, {file: rows}, pushed)


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.SLOW_REQUEST])
@pytest.mark.parametrize("script", AFTER_A_LOSS)
async def test_stolen_batches_are_read_again_once_whatever_becomes_of_the_reply(
    shared_redis: Endpoint, proxy: TcpProxy, observer: Observer, tmp_path: Path, script: str, fault: Fault
) -> None:
    rows, archive = some_rows(1, ROWS), tmp_path / "archive.sqlite"
    file = write(tmp_path / "rows.csv", rows)
    proxy.fault_at(fault, observer.redis._scripts[script].sha.encode())
    await prepare(shared_redis, archive)
    async with at_work(proxy.endpoint, archive, [file], with_lane=False) as work:
        await work.until(partial(is_queued, observer), "all rows queued")
    assert await observer.redis.command("DEL", QUEUE)
    async with at_work(proxy.endpoint, archive, [file], timeout_seconds=CLIENT_SECONDS) as work:
        await work.until(partial(has_had, proxy, 1), f"a call of {script}")
        await work.until(partial(observer.all_done, [file]), "all rows applied")
    await check_exact(proxy, observer, archive, {file: rows}, [])


async def test_a_lost_reply_to_any_other_command_changes_nothing(
    proxy: TcpProxy, observer: Observer, tmp_path: Path
) -> None:
    files: dict[Path, list[Row]] = {}
    archive = tmp_path / "archive.sqlite"
    for number, command in enumerate(COMMANDS):
        rows = some_rows(number, 60)
        file = write(tmp_path / f"{command}.csv", rows)
        files[file] = rows
        proxy.fault_at(Fault.LOST_REPLY, command.encode())
        async with at_work(proxy.endpoint, archive, [file], timeout_seconds=CLIENT_SECONDS) as work:
            await work.until(partial(has_had, proxy, number + 1), f"a {command}")
            await work.until(partial(observer.all_done, [file]), "all rows applied")
    await check_exact(proxy, observer, archive, files, [])


@pytest.mark.parametrize("seed", [1, 2])
async def test_faults_of_every_kind_at_random(proxy: TcpProxy, observer: Observer, tmp_path: Path, seed: int) -> None:
    chance, archive = random.Random(seed), tmp_path / "archive.sqlite"
    files = {tmp_path / f"{number}.csv": some_rows(seed * 10 + number, 300) for number in range(2)}
    for path, rows in files.items():
        write(path, rows)
    pushed = some_rows(seed, 20)
    faults = [*Fault, *chance.choices(list(Fault), k=RANDOM_FAULTS - len(Fault))]
    chance.shuffle(faults)

    def choose(_: Words) -> Fault | None:
        return faults.pop() if faults and chance.random() < 0.06 else None

    proxy.choose = choose
    async with at_work(proxy.endpoint, archive, list(files), timeout_seconds=CLIENT_SECONDS) as work:
        for row in pushed:
            await observer.push(row.json())
            await asyncio.sleep(0.03)
        await work.until(partial(has_had, proxy, RANDOM_FAULTS), "all faults")
        await work.until(partial(observer.all_done, list(files)), "all rows applied")
    await check_exact(proxy, observer, archive, files, pushed)


async def is_queued(observer: Observer) -> bool:
    return any(source.read.rows == ROWS for source in (await observer.sources.known()).sources)


async def has_had(proxy: TcpProxy, faults: int) -> bool:
    return len(proxy.faults) >= faults


async def check_exact(
    proxy: TcpProxy, observer: Observer, archive: Path, files: dict[Path, list[Row]], pushed: list[Row]
) -> None:
    """In Redis and archive together and, once a lane has dumped all, in the archive alone."""
    rows = [row for part in files.values() for row in part] + pushed
    assert await observer.totals() == sums_of(rows)
    assert await observer.accounts() == {str(path): (len(part), len(part), 0) for path, part in files.items()}
    proxy.pass_all()
    async with at_work(proxy.endpoint, archive) as work:
        await work.until(observer.all_archived, "the last dump")
    assert await observer.archived() == sums_of(rows)
    assert await observer.totals() == sums_of(rows)
