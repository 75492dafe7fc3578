"""Every named failpoint lies on the way of an ordinary life of the service, and ends the process there."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support import failpoints
from support.oracle import truth_of
from support.outside import OutsideMongo
from support.sample_file import generated
from support.service import Setting

ROWS, DAYS = 1500, 60
"""120 buckets: more than may stay in Redis, few enough for a slow archive."""
BUSY: dict[str, Setting] = {
    "DumperTaskScheduleInterval": 0.1,
    "CutOffDays": 0,
    "LeaseSeconds": 0.3,
    "MaxResidentBuckets": 100,
}
"""Dumps, evictions and renewals from the first moment on."""


@pytest.fixture
def mongo_server(tmp_path: Path) -> Iterator[OutsideMongo]:
    with OutsideMongo(tmp_path / "mongo") as server:
        yield server.start()


def points_of_a_life(make_service: MakeService, tmp_path: Path, **settings: Setting) -> list[str]:
    """An import, evictions, and a graceful stop."""
    file = generated(tmp_path / "month.csv", rows=ROWS, bad_rows=0.01, days=DAYS, seconds=1)
    seen = tmp_path / "seen"
    service = make_service(CsvFilePath=file, ReplaySpeed=1, DAYBOOK_FAILPOINTS_SEEN=seen, **BUSY, **settings).start()
    service.wait_until_imported(file, ROWS)
    service.wait_for_log("evicted")
    service.wait(lambda: "redis.update_source.after" in seen.read_text(), "the file's end is noted")
    assert service.stop() == 0
    return seen.read_text().split()


def test_a_life_on_sqlite_comes_by_every_point(make_service: MakeService, tmp_path: Path) -> None:
    passed = points_of_a_life(make_service, tmp_path)
    expected = {*failpoints.SCRIPTS, *failpoints.SQLITE, *failpoints.FILES, *failpoints.SERVER}
    assert set(passed) - {*failpoints.REQUEUE} == expected
    assert len(passed) == len(set(passed))


def test_a_life_on_mongodb_comes_by_every_point(
    make_service: MakeService, mongo_server: OutsideMongo, tmp_path: Path
) -> None:
    passed = points_of_a_life(make_service, tmp_path, **mongo_server.settings)
    assert set(passed) >= {*failpoints.MONGO}


def test_a_failpoint_ends_the_process_at_its_nth_hit(make_service: MakeService, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=ROWS, seconds=1)
    service = make_service(CsvFilePath=file, ReplaySpeed=1, DAYBOOK_FAILPOINT="redis.commit.after:3").launch()
    assert service.ended() == -signal.SIGKILL
    service.start(DAYBOOK_FAILPOINT="")
    service.wait_until_imported(file, ROWS)
    assert service.stats() == truth_of(file).data
