"""One import that fails concerns its file alone: the others go on, it is told, and it goes on by itself."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daybook import lifespan
from daybook.api.services import Services
from daybook.importing.import_manager import ImportManager
from daybook.importing.summing_pool import SummingPool
from daybook.runtime.stop import StopToken, end
from daybook.runtime.supervisor import Supervisor
from daybook.settings import Settings, load
from daybook.sources.records import Layout
from daybook.sources.row_sums import Limits, RowSums
from support.redis_server import Endpoint, RedisServer
from support.rows import some_rows, sums_of, write
from support.running import quick_settings, stores_on, watching

POISON = "poison"
_PATIENCE_SECONDS = 30.0


class PoisonedPool(SummingPool):
    """Dies of rows with one payment method, till it is healed."""

    healed = False

    async def sum_block(
        self, block: bytes, layout: Layout, source: str, limits: Limits, stopped: threading.Event
    ) -> list[RowSums]:
        if POISON.encode() in block and not PoisonedPool.healed:
            raise KeyError(POISON)
        return await super().sum_block(block, layout, source, limits, stopped)


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not await condition():  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"waited in vain for: {what}")


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[Services]:
    async with lifespan.running_service(settings, Supervisor(StopToken())) as services:
        yield services


async def test_an_import_that_dies_leaves_the_others_alone_and_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifespan, "SummingPool", PoisonedPool)
    monkeypatch.setattr(PoisonedPool, "healed", False)
    folder = tmp_path / "files"
    folder.mkdir()
    rows = [some_rows(seed, 20) for seed in range(6)]
    files = [write(folder / f"{number}.csv", some) for number, some in enumerate(rows)]
    bad = files[2]
    settings = load(data_dir=tmp_path / "data", csv_file_path=str(folder), replay_speed=0)
    async with service(settings) as services:

        async def applied(files: list[Path]) -> bool:
            try:
                known = (await services.stores.sources.known()).sources
            except Exception:  # noqa: BLE001 - not there yet
                return False
            ends = {source.path: source.applied.offset for source in known}
            return all(ends.get(str(path)) == path.stat().st_size for path in files)

        async def told() -> bool:
            return f"import {bad}" in await services.checks()

        others = [path for path in files if path != bad]
        await until(lambda: applied(files), "all are imported")
        write(bad, [*rows[2], *(row._replace(method=POISON) for row in some_rows(8, 20))])
        await until(told, "readiness names the file")
        assert services.import_problems() == {str(bad): "KeyError: 'poison'"}
        assert (await services.checks())[f"import {bad}"] == "KeyError: 'poison'"
        more = some_rows(9, 20)
        write(files[4], [*rows[4], *more])
        await until(lambda: applied(others), "a further file grows on")

        PoisonedPool.healed = True
        await until(lambda: applied(files), "the file is imported after all")
        assert services.import_problems() == {}
        assert f"import {bad}" not in await services.checks()


async def test_a_redis_that_forbids_a_command_is_waited_out(own_redis: RedisServer, tmp_path: Path) -> None:
    """Four followed files, HGET denied for three seconds, then rows for all of them."""
    folder, archive = tmp_path / "files", tmp_path / "archive.sqlite"
    folder.mkdir()
    rows = [some_rows(seed, 20) for seed in range(4)]
    more = [some_rows(100 + seed, 20) for seed in range(4)]
    files = [write(folder / f"{number}.csv", some) for number, some in enumerate(rows)]
    endpoint = own_redis.endpoint._replace(username="daybook", password="secret")
    async with watching(own_redis.endpoint, archive) as observer:

        async def allow(*rules: str) -> None:
            await observer.redis.command("ACL", "SETUSER", "daybook", *rules)

        await allow("on", ">secret", "~*", "&*", "+@all")
        async with following(folder, archive, endpoint) as manager:
            await until(lambda: observer.all_done(files), "all are imported")
            await allow("-hget")
            await asyncio.sleep(3)
            await allow("+hget")
            for path, some, further in zip(files, rows, more, strict=True):
                write(path, some + further)
            await until(lambda: observer.all_done(files), "all are read on")
            assert manager.failures() == {}
        assert await observer.totals() == sums_of(row for some in rows + more for row in some)


@asynccontextmanager
async def following(folder: Path, archive: Path, endpoint: Endpoint) -> AsyncIterator[ImportManager]:
    """A lane and the importers of a folder, which must not end."""
    settings, stop = quick_settings(), StopToken()
    redis = endpoint.connect()
    stores = stores_on(redis, archive, settings)
    async with lifespan.importing(settings, stores) as context:
        manager = ImportManager(str(folder), context)
        tasks = [asyncio.create_task(work.run(stop)) for work in (lifespan.make_lane(settings, stores), manager)]
        try:
            yield manager
            assert not any(task.done() for task in tasks)
            stop.set()
            await asyncio.gather(*tasks)
        finally:
            await end(tasks)
            await stores.archive.close()
            await redis.close()
