"""The stop token and what ends tasks."""

import asyncio

import pytest

from daybook.errors import ConfigurationError
from daybook.runtime.stop import StopToken, end, first_failure
from daybook.runtime.supervisor import Supervisor


async def _stubborn(times: int) -> None:
    for _ in range(times):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(60)


async def test_tasks_that_swallow_a_cancellation_end_all_the_same() -> None:
    task = asyncio.create_task(_stubborn(3))
    await asyncio.sleep(0)
    await asyncio.wait_for(end([task]), 5)
    assert task.cancelled()


async def test_the_first_failure_ends_the_others() -> None:
    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        await asyncio.wait_for(first_failure(_stubborn(2), fails()), 5)


async def test_work_or_stop_whichever_comes_first() -> None:
    stop = StopToken()
    assert await stop.or_stop(asyncio.sleep(0, "done")) == "done"
    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert await stop.or_stop(asyncio.sleep(60, "never")) is None
    assert await stop.wait(60)


async def test_a_task_that_dies_is_reported_and_started_again() -> None:
    supervisor, runs = Supervisor(StopToken()), 0

    async def work(stop: StopToken) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RuntimeError("boom")
        await stop.wait()

    supervisor.start("work", work)
    await asyncio.sleep(0.05)
    assert supervisor.down == {"work": "RuntimeError: boom"}
    await asyncio.sleep(0.4)
    assert (runs, supervisor.down) == (2, {})
    assert await supervisor.shut_down(1)


async def test_a_wrong_configuration_stops_everything() -> None:
    supervisor = Supervisor(StopToken())

    async def work(_: StopToken) -> None:
        raise ConfigurationError("not like this")

    supervisor.start("work", work)
    assert await supervisor.stop.wait(1)
    assert str(supervisor.fatal) == "not like this"
