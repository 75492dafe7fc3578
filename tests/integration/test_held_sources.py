"""A file whose rows were imported before, or of mostly bad rows, is held before anything of it counts."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from daybook.books.source_list import drop, find_source, release
from daybook.domain.source import Source
from daybook.errors import NotHeldError, UnknownSourceError
from daybook.sources.identity import head_of
from daybook.stores import redis_keys
from daybook.stores.held_sources import change_held
from support.redis_server import Endpoint
from support.rows import HEADER, Row, some_rows, sums_of
from support.running import Observer, at_work, watching
from support.tcp_proxy import Fault, TcpProxy

BAD = "2001-01-01T12:00:00,deposit,visa,1.2.3\n"


@pytest.fixture
async def observer(shared_redis: Endpoint, tmp_path: Path) -> AsyncIterator[Observer]:
    async with watching(shared_redis, tmp_path / "archive.sqlite") as found:
        yield found


def timed(rows: Sequence[Row], seed: int = 0) -> str:
    """Return the rows as CSV, at times that the seed chooses."""
    chance = random.Random(seed)
    times = (f"{chance.randint(10, 23)}:00:{number % 60:02d}" for number in range(len(rows)))
    return "".join(row.csv().replace("12:00:00", moment) for row, moment in zip(rows, times, strict=True))


def shuffled(text: str) -> str:
    lines = text.splitlines(keepends=True)
    random.Random(7).shuffle(lines)
    return "".join(lines)


def place(path: Path, text: str) -> Path:
    """Put a file in its place as exports do, by another file."""
    path.parent.mkdir(exist_ok=True)
    other = path.with_suffix(".new")
    other.write_text(HEADER + text)
    other.replace(path)
    return path


async def source_of(observer: Observer, path: Path) -> Source | None:
    if not await observer.has_lane():
        return None
    known = (await observer.sources.known()).sources
    return next((each for each in reversed(known) if each.path == str(path)), None)


async def in_state(observer: Observer, path: Path, state: str) -> bool:
    source = await source_of(observer, path)
    return source is not None and source.state == state and head_of(path).startswith(source.head)


class Work:
    """Imports files one after the other, as a service that was started for each."""

    def __init__(self, endpoint: Endpoint, observer: Observer, tmp_path: Path) -> None:
        self.endpoint, self.observer, self.archive = endpoint, observer, tmp_path / "archive.sqlite"

    async def done(self, *paths: Path, state: str = "done", **changes: Any) -> Source:
        async with at_work(self.endpoint, self.archive, paths, **changes) as work:
            for path in paths:
                await work.until(partial(in_state, self.observer, path, state), f"{path} {state}")
            await work.until(self.observer.all_archived, "the dump")
        found = await source_of(self.observer, paths[-1])
        assert found is not None
        return found


@pytest.fixture
def work(shared_redis: Endpoint, observer: Observer, tmp_path: Path) -> Work:
    return Work(shared_redis, observer, tmp_path)


ROWS = some_rows(1, 300)


@pytest.mark.parametrize("name", ["m.csv", "new/m.csv"])
async def test_the_same_rows_in_another_order_are_held_at_the_same_path_or_name(
    work: Work, observer: Observer, tmp_path: Path, name: str
) -> None:
    first = await work.done(place(tmp_path / "m.csv", timed(ROWS)))
    found = await work.done(place(tmp_path / name, shuffled(timed(ROWS))), state="held")
    assert found.held is not None
    assert (found.held.kind, found.held.like) == ("overlap", first.id)
    assert found.held.reason == (
        f"300 of 300 rows look like those of {first.path}, imported on {first.since[:10]} (source {first.id})"
    )
    assert (found.read.offset, found.problem) == (0, "")
    assert await observer.totals() == sums_of(ROWS)


async def test_the_same_rows_elsewhere_are_told_and_imported(
    work: Work, observer: Observer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    await work.done(place(tmp_path / "m.csv", timed(ROWS)))
    await work.done(place(tmp_path / "other.csv", shuffled(timed(ROWS))))
    assert "300 of 300 rows look like those of" in "".join(capfd.readouterr())
    assert await observer.totals() == sums_of(ROWS * 2)


@pytest.mark.parametrize(("setting", "state"), [("hold", "held"), ("warn", "done"), ("import", "done")])
async def test_the_setting_decides(work: Work, tmp_path: Path, setting: str, state: str) -> None:
    await work.done(place(tmp_path / "m.csv", timed(ROWS)), on_overlap=setting)
    for name in ("m.csv", "other.csv"):
        await work.done(place(tmp_path / name, shuffled(name + timed(ROWS))), on_overlap=setting, state=state)


async def test_a_file_with_rows_of_its_own_passes(work: Work, observer: Observer, tmp_path: Path) -> None:
    """Also when some of its rows, and rows within it, are equal to others."""
    own = some_rows(2, 110) + ROWS[:100] + [ROWS[0]] * 3
    for rows in (ROWS, own):
        await work.done(place(tmp_path / "m.csv", "".join(row.csv() for row in rows)))
    assert await observer.totals() == sums_of(ROWS + own)


async def test_a_month_whose_days_were_imported_is_held(work: Work, tmp_path: Path) -> None:
    days = [place(tmp_path / f"day{n}" / "m.csv", timed(ROWS[n * 100 : n * 100 + 100], n)) for n in range(3)]
    await work.done(*days)
    month = "".join(path.read_text().removeprefix(HEADER) for path in days)
    found = await work.done(place(tmp_path / "m.csv", shuffled(month)), on_overlap="hold", state="held")
    assert found.held is not None
    assert found.held.reason.startswith("300 of 300 rows look like those of ")


@pytest.mark.parametrize("new_rows_first", [False, True])
async def test_a_large_file_is_judged_by_a_sample(work: Work, tmp_path: Path, new_rows_first: bool) -> None:
    old, new = timed(some_rows(3, 60_000)), timed(some_rows(4, 20_000))
    await work.done(place(tmp_path / "m.csv", old))
    text = new + shuffled(old) if new_rows_first else shuffled(old) + new
    found = await work.done(place(tmp_path / "m.csv", text), state="held")
    assert found.held is not None
    words = found.held.reason.replace(",", "").split()
    assert words[0] == "about"
    assert words[4:10] == ["rows", "that", "were", "looked", "at", "look"]
    assert 0.55 < int(words[1]) / int(words[3]) < 0.95


async def test_two_reports_that_come_together_count_once(work: Work, observer: Observer, tmp_path: Path) -> None:
    one, other = place(tmp_path / "a.csv", timed(ROWS)), place(tmp_path / "b.csv", shuffled(timed(ROWS)))

    async def is_one_held() -> bool:
        if not await observer.has_lane():
            return False
        return {each.state for each in (await observer.sources.known()).sources} == {"done", "held"}

    async with at_work(work.endpoint, work.archive, [one, other], on_overlap="hold") as working:
        await working.until(is_one_held, "one of them held")
    assert await observer.totals() == sums_of(ROWS)


async def test_a_file_of_mostly_bad_rows_is_held_with_the_reasons(
    work: Work, observer: Observer, tmp_path: Path
) -> None:
    text = timed(ROWS[:40]) + BAD * 30 + BAD.replace("1.2.3", "-5") * 15 + BAD.replace("visa", "") * 3 + "x\n" * 1
    found = await work.done(place(tmp_path / "m.csv", text), state="held")
    assert found.held is not None
    assert found.held.kind == "rejects"
    assert found.held.reason.startswith(
        "49 of its first 89 rows would be rejected: amount is not a plain decimal: 30; amount is not above 0: 15; "
    )
    assert f"daybook inspect {tmp_path / 'm.csv'}" in found.held.reason
    assert await observer.totals() == {}
    assert await observer.rejects(found.id) == []


async def test_only_the_first_1000_rows_are_judged(work: Work, tmp_path: Path) -> None:
    rows = timed(some_rows(1, 1000))
    assert (await work.done(place(tmp_path / "good.csv", rows + BAD * 1500))).rejected_rows == 1500
    found = await work.done(place(tmp_path / "bad.csv", BAD * 600 + rows), state="held")
    assert found.held is not None
    assert found.held.reason.startswith("600 of its first 1,000 rows")


@pytest.mark.parametrize(("bad", "good", "share"), [(19, 0, 0.5), (20, 20, 0.5), (100, 0, 1.0)])
async def test_files_that_are_not_held_for_their_rejects(
    work: Work, tmp_path: Path, bad: int, good: int, share: float
) -> None:
    found = await work.done(place(tmp_path / "m.csv", BAD * bad + timed(ROWS[:good])), max_reject_share=share)
    assert (found.rejected_rows, found.applied_rows) == (bad, good)


async def held_file(work: Work, tmp_path: Path) -> Source:
    await work.done(place(tmp_path / "m.csv", timed(ROWS)))
    return await work.done(place(tmp_path / "m.csv", shuffled(timed(ROWS))), state="held")


async def test_a_released_source_is_imported_once_by_a_service_that_runs(
    work: Work, observer: Observer, tmp_path: Path
) -> None:
    found = await held_file(work, tmp_path)
    path = Path(found.path)
    async with at_work(work.endpoint, work.archive, [path]) as working:
        await working.until(observer.has_lane, "the lane")
        await asyncio.sleep(0.3)
        assert await in_state(observer, path, "held")
        assert (await release(observer._stores, found.id)).held is None
        await working.until(partial(in_state, observer, path, "done"), "it is imported")
    assert await observer.totals() == sums_of(ROWS * 2)
    with pytest.raises(NotHeldError, match="is not held: its state is `done`"):
        await release(observer._stores, found.id)
    with pytest.raises(NotHeldError):
        await drop(observer._stores, found.id)
    await work.done(path)
    assert await observer.totals() == sums_of(ROWS * 2)


async def test_a_dropped_source_is_never_read_and_can_be_released(
    work: Work, observer: Observer, tmp_path: Path
) -> None:
    found = await held_file(work, tmp_path)
    path = Path(found.path)
    for _ in range(2):
        assert (await drop(observer._stores, found.id)).state == "dropped"
    os.utime(path, (time.time() + 5,) * 2)
    again = await work.done(path, state="dropped")
    assert again.id == found.id
    assert await observer.totals() == sums_of(ROWS)
    await release(observer._stores, found.id)
    await work.done(path)
    assert await observer.totals() == sums_of(ROWS * 2)


async def test_a_held_file_that_is_mended_is_imported(work: Work, observer: Observer, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    found = await work.done(place(path, BAD * 100), state="held")
    async with at_work(work.endpoint, work.archive, [path]) as working:
        await working.until(observer.has_lane, "the lane")
        path.write_text(path.read_text() + timed(ROWS[:99]))
        await asyncio.sleep(0.3)
        assert (await observer.sources.get(found.id) or found).held
        path.write_text(path.read_text() + timed(ROWS[99:]))
        await working.until(partial(in_state, observer, path, "done"), "it is imported")
    again = await source_of(observer, path)
    assert again is not None
    assert (again.id, again.rejected_rows, again.applied_rows) == (found.id, 100, 300)


@pytest.mark.parametrize("archived", [True, False])
async def test_a_hold_survives_a_wiped_redis(work: Work, observer: Observer, tmp_path: Path, archived: bool) -> None:
    """What the archive does not know is found again by looking at the file again."""
    path = place(tmp_path / "m.csv", timed(ROWS))
    await work.done(path)
    place(path, shuffled(timed(ROWS)))
    if archived:
        held = await work.done(path, state="held")
    else:
        async with at_work(work.endpoint, work.archive, [path], with_lane=False) as working:
            await working.until(partial(in_state, observer, path, "held"), "it is held")
        held = None
    await observer.redis.command("FLUSHDB")
    again = await work.done(path, state="held")
    assert again.held is not None
    assert held is None or again.held == held.held
    assert await observer.totals() == sums_of(ROWS)


async def test_rows_are_recognized_after_a_wiped_redis(work: Work, observer: Observer, tmp_path: Path) -> None:
    await work.done(place(tmp_path / "m.csv", timed(ROWS)))
    await observer.redis.command("FLUSHDB")
    await work.done(place(tmp_path / "m.csv", shuffled(timed(ROWS))), state="held")


async def test_of_two_who_decide_at_once_the_later_one_is_told(work: Work, observer: Observer, tmp_path: Path) -> None:
    """A drop that was decided before somebody else released the source does not undo that."""
    found = await held_file(work, tmp_path)
    assert found.held is not None
    dropped = structs.replace(found.held, dropped="2026-11-24T12:00:00.000Z")
    await release(observer._stores, found.id)
    assert not await change_held(observer.redis, found, dropped)
    now = await observer.sources.get(found.id)
    assert now is not None
    assert now.held is None
    assert await change_held(observer.redis, found, None)


async def test_a_source_that_is_not_known_cannot_be_released(work: Work, observer: Observer, tmp_path: Path) -> None:
    found = await held_file(work, tmp_path)
    unknown = structs.replace(found, id="nobody")
    assert not await change_held(observer.redis, unknown, None)
    assert await observer.redis.command("EXISTS", redis_keys.source("nobody")) == 0


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.SLOW_REQUEST])
async def test_a_decision_whose_reply_is_lost_can_be_made_again(
    work: Work, shared_redis: Endpoint, observer: Observer, tmp_path: Path, fault: Fault
) -> None:
    found = await held_file(work, tmp_path)
    path = Path(found.path)
    async with TcpProxy(shared_redis, 0.3) as proxy:
        await observer.redis.client.script_load(observer.redis._scripts["change_held"].script)
        proxy.fault_at(fault, observer.redis._scripts["change_held"].sha.encode())
        os.utime(path, (time.time() + 5,) * 2)
        async with at_work(proxy.endpoint, work.archive, [path], timeout_seconds=0.2, on_overlap="import") as working:
            await working.until(partial(in_state, observer, path, "done"), "released and imported")
        assert [each for each, _ in proxy.faults] == [fault]
    assert await observer.totals() == sums_of(ROWS * 2)


async def test_files_of_corrections_are_not_questioned(work: Work, observer: Observer, tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    bad = "2001-01-01T12:00:00,deposit,visa,1.00,nobody,{}\n"
    path.write_text(HEADER.strip() + ",rejected_source,rejected_line\n" + "".join(bad.format(n) for n in range(1, 41)))
    found = await work.done(path)
    assert found.rejected_rows == 40
    assert await observer.redis.command("HEXISTS", redis_keys.source(found.id), "sketch") == 0


def test_sources_are_found_by_id_beginning_and_file() -> None:
    sources = [Source("abc-1", "/a", b""), Source("abx-2", "/b", b""), Source("abx-3", "/b", b"")]
    for name, expected in (("abc-1", 0), ("abc", 0), ("/a", 0), ("/b", 2), ("abx-2", 1)):
        assert find_source(sources, name) is sources[expected]
    with pytest.raises(UnknownSourceError, match="2 sources begin with it: abx-2, abx-3"):
        find_source(sources, "abx")
    for name in ("", "x", "/c"):
        with pytest.raises(UnknownSourceError, match="neither a source nor the file of one"):
            find_source(sources, name)
