"""Who shares an answer with whom, and what becomes of those who wait for one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from daybook.api.shared_answers import SharedAnswers
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.errors import BusyError, RecoveringError, StoreUnavailableError
from support.pipeline import Parts, lane
from support.rows import some_rows, write
from support.service import embedded_server


class Maker:
    """Makes answers that are numbered, each when it may."""

    def __init__(self) -> None:
        self.made = 0
        self.may_end = asyncio.Event()
        self._begun = asyncio.Semaphore(0)

    async def __call__(self) -> bytes:
        self.made += 1
        number = self.made
        self._begun.release()
        await self.may_end.wait()
        return b"%d" % number

    async def begin(self, number: int = 1) -> None:
        """Wait until so many more are being made."""
        async with asyncio.timeout(10):
            for _ in range(number):
                await self._begun.acquire()


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    async with EmbeddedValkey(tmp_path / "data") as server, lane(server.socket, tmp_path / "archive.sqlite") as opened:
        yield opened


def answers_of(parts: Parts, **bounds: float) -> SharedAnswers:
    return SharedAnswers(parts.stores, lambda: "", **bounds)  # type: ignore[arg-type]


async def settle() -> None:
    """Long enough for questions to find their answer in the making."""
    await asyncio.sleep(0.05)


async def test_who_comes_after_redis_was_asked_shares_the_next_answer(parts: Parts) -> None:
    answers, maker = answers_of(parts), Maker()
    first = [asyncio.create_task(answers.answer("q", maker, keep=False)) for _ in range(3)]
    await maker.begin()
    later = [asyncio.create_task(answers.answer("q", maker, keep=False)) for _ in range(3)]
    await settle()
    assert maker.made == 1
    maker.may_end.set()
    assert await asyncio.gather(*first, *later) == [b"1"] * 3 + [b"2"] * 3


async def test_a_kept_answer_is_given_until_something_is_committed(parts: Parts, tmp_path: Path) -> None:
    answers, maker = answers_of(parts), Maker()
    maker.may_end.set()
    assert [await answers.answer("q", maker) for _ in range(3)] == [b"1"] * 3
    assert await answers.answer("another", maker) == b"2"
    await parts.import_all(write(tmp_path / "rows.csv", some_rows(1, 5)))
    await parts.drain()
    assert await answers.answer("q", maker) == b"3"


async def test_a_commit_while_an_answer_is_made_asks_for_another_one(parts: Parts, tmp_path: Path) -> None:
    answers, maker = answers_of(parts), Maker()
    before = asyncio.create_task(answers.answer("q", maker))
    await maker.begin()
    await parts.import_all(write(tmp_path / "rows.csv", some_rows(1, 5)))
    await parts.drain()
    after = asyncio.create_task(answers.answer("q", maker))
    await settle()
    maker.may_end.set()
    assert (await before, await after) == (b"1", b"2")


async def test_who_goes_away_ends_its_own_waiting_only(parts: Parts) -> None:
    answers, maker = answers_of(parts), Maker()
    first, second = [asyncio.create_task(answers.answer("q", maker, keep=False)) for _ in range(2)]
    await maker.begin()
    first.cancel()
    await settle()
    assert first.cancelled()
    maker.may_end.set()
    assert await second == b"1"


async def test_more_than_the_most_are_refused_and_others_wait_for_their_turn(parts: Parts) -> None:
    answers, maker = answers_of(parts, most=6), Maker()
    taken = [asyncio.create_task(answers.answer(number, maker, keep=False)) for number in range(6)]
    await maker.begin(4)
    await settle()
    assert maker.made == 4
    with pytest.raises(BusyError, match=r"^6 other answers are in the making: ask again later$"):
        await answers.answer("one more", maker, keep=False)
    shared = asyncio.create_task(answers.answer(5, maker, keep=False))
    await settle()
    maker.may_end.set()
    assert sorted(await asyncio.gather(*taken)) == [b"%d" % number for number in range(1, 7)]
    assert await shared == await taken[5]
    assert await answers.answer("one more", maker, keep=False) == b"7"


async def test_a_wait_ends(parts: Parts) -> None:
    answers, maker = answers_of(parts, seconds=0.3), Maker()
    asked = [asyncio.create_task(answers.answer(number, maker, keep=False)) for number in range(5)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(error) for error in found] == [BusyError] * 5
    assert {str(error) for error in found[:4]} == {
        "the answer was not ready within 0.3 s: it is large or the stores are slow"
    }
    assert str(found[4]) == "the answer was not ready within 0.3 s: 4 others are made at a time"
    maker.may_end.set()
    assert await answers.answer("q", maker, keep=False) == b"5"


async def test_a_wait_for_redis_ends(parts: Parts, tmp_path: Path) -> None:
    answers, maker = answers_of(parts, seconds=0.3), Maker()
    server = embedded_server(tmp_path / "data")
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(BusyError, match=r"^the answer was not ready within 0\.3 s: Redis is slow$"):
            await answers.answer("q", maker)
    finally:
        os.kill(server, signal.SIGCONT)
    assert maker.made == 0


async def test_all_who_share_learn_of_a_failure_and_the_next_asks_anew(parts: Parts) -> None:
    async def fail() -> bytes:
        raise StoreUnavailableError("away")

    answers, maker = answers_of(parts), Maker()
    found = await asyncio.gather(*(answers.answer("q", fail) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in found] == ["away"] * 3
    maker.may_end.set()
    assert await answers.answer("q", maker) == b"1"


async def test_nothing_is_made_while_the_lane_waits(parts: Parts) -> None:
    maker = Maker()
    answers = SharedAnswers(parts.stores, lambda: "Redis is older")
    with pytest.raises(RecoveringError, match="Redis is older"):
        await answers.answer("q", maker, keep=False)
    assert maker.made == 0


async def test_close_gives_up_what_is_in_the_making(parts: Parts) -> None:
    answers, maker = answers_of(parts), Maker()
    asked = asyncio.create_task(answers.answer("q", maker))
    await maker.begin()
    await answers.close()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_close_ends_an_answer_that_swallows_a_cancellation(parts: Parts) -> None:
    """`asyncio.wait_for` of Python 3.11 does that at times."""
    begun = asyncio.Event()

    async def stubborn() -> bytes:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)
        return b""

    answers = answers_of(parts)
    asked = asyncio.create_task(answers.answer("q", stubborn))
    async with asyncio.timeout(10):
        await begun.wait()
        await answers.close()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_close_ends_the_questions_to_redis(parts: Parts, tmp_path: Path) -> None:
    answers = answers_of(parts)
    server = embedded_server(tmp_path / "data")
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    try:
        asked = [asyncio.create_task(answers.answer("q", Maker())) for _ in range(2)]
        await settle()
        async with asyncio.timeout(2):
            await answers.close()
            found = await asyncio.gather(*asked, return_exceptions=True)
    finally:
        os.kill(server, signal.SIGCONT)
    assert [type(error) for error in found] == [asyncio.CancelledError] * 2
