"""`kill -9` at random instants: Daybook's totals stay exact; the original's way loses rows."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from e2e.conftest import MakeService
from support.oracle import Truth, truth_of
from support.outside import OutsideRedis
from support.sample_file import generated
from support.service import Process, Service, Setting, archived_rejects, until, wait_for_end

Settings = dict[str, Setting]

KILLS = 50
SEED = 20260115
LONGEST_LIFE_SECONDS = 0.4
SHARE_IN_START = 0.2
ROWS = 60_000
DAYS = 90
"""180 buckets: more than two of the settings below leave in Redis."""
CONTROL_KILLS = 12
CONTROL_ROWS = 40_000

EVICTING: Settings = {"MaxResidentBuckets": 100, "DumperTaskScheduleInterval": 0.1, "CutOffDays": 0}
ROOMY: Settings = {"MaxResidentBuckets": 20_000, "DumperTaskScheduleInterval": 0.3, "CutOffDays": 7}
TIGHT: Settings = {"MaxResidentBuckets": 100, "DumperTaskScheduleInterval": 10, "MaxQueueBytes": 4096}


def kill_at_random_instants(kills: int, launch: Callable[[random.Random], Process], begun: Callable[[], bool]) -> None:
    """One life after the other; most end some time after they have done some work, some in their start."""
    chance = random.Random(SEED)
    for life in range(kills):
        process = launch(chance)
        if chance.random() >= SHARE_IN_START:
            until(begun, f"life {life} begins its work")
        time.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
        assert process.poll() is None, f"life {life} ended by itself with {process.poll()}"
        os.kill(process.pid, signal.SIGKILL)
        assert wait_for_end(process) == -signal.SIGKILL


@pytest.mark.timeout(240)
def test_fifty_kills_change_no_total(make_service: MakeService, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=ROWS, bad_rows=0.01, seconds=36, days=DAYS)
    truth = truth_of(file)
    assert len(truth.rejects) == ROWS // 100
    service = make_service(CsvFilePath=file, ReplaySpeed=1, LeaseSeconds=1)

    def launch(chance: random.Random) -> Process:
        return service.launch(**chance.choice([EVICTING, ROOMY, TIGHT])).running

    seen = 0

    def more_rows() -> bool:
        nonlocal seen
        before, seen = seen, max(seen, rows_read(service, file))
        return seen > before

    kill_at_random_instants(KILLS, launch, more_rows)
    service.start(ReplaySpeed=1, **ROOMY)
    midway = rows_read(service, file)
    service.kill()

    service.start(ReplaySpeed=0)
    check(service, file, truth)
    assert service.stop() == 0
    archived = archived_rejects(service.data_dir)
    assert [(reject.line, reject.raw) for reject in archived] == [
        (line, raw) for line, (raw, _) in truth.rejects.items()
    ]
    for reject in archived:
        assert truth.rejects[reject.line][1] in reject.reason
    service.start()
    check(service, file, truth)
    assert "Traceback" not in service.logs
    assert KILLS * 20 < midway < ROWS, "the kills must fall into the import"


def rows_read(service: Service, file: Path) -> int:
    """0 while the service does not answer."""
    with suppress(httpx.TransportError, AssertionError):
        found = service.import_of(file) if service.address else None
        return int(found["rows"]) if found else 0
    return 0


def check(service: Service, file: Path, truth: Truth) -> None:
    found = service.wait_until_imported(file, truth.rows)
    assert service.stats("2026-01-01", "2026-12-31") == truth.data
    assert len(truth.data) == DAYS
    assert len(service.imports()) == 1
    assert (found["applied"], found["rejected"]) == (truth.applied, len(truth.rejects))
    assert found["state"] == "done"
    totals = {kind: Decimal(text) for kind, text in found["control_totals"].items()}
    assert totals == {kind: truth.total(kind) for kind in ("deposits", "withdrawals")}


@pytest.fixture
def outside_redis(tmp_path: Path) -> Iterator[OutsideRedis]:
    with OutsideRedis(tmp_path / "redis") as server:
        yield server.start()


def test_the_original_way_loses_rows(outside_redis: OutsideRedis, tmp_path: Path) -> None:
    """The control: were nothing lost here, the test above would prove nothing."""
    file = generated(tmp_path / "month.csv", rows=CONTROL_ROWS)
    truth = truth_of(file)
    program = Path(__file__).parents[1] / "support" / "original_way.py"
    place = ["127.0.0.1", str(outside_redis.port)]
    subprocess.run([sys.executable, program, "fill", *place, file], check=True)

    with outside_redis.client() as client:
        waiting = client.llen("TransactionQueue")
        assert waiting == CONTROL_ROWS

        def launch(_: random.Random) -> Process:
            nonlocal waiting
            waiting = client.llen("TransactionQueue")
            return subprocess.Popen([sys.executable, program, "work", *place])

        kill_at_random_instants(CONTROL_KILLS, launch, lambda: client.llen("TransactionQueue") < waiting)
        assert client.llen("TransactionQueue"), "the kills must fall into the work"
        missing = truth.total("deposits") + truth.total("withdrawals") - counted(client) - queued(client)
    assert missing > 0, "nothing was lost"


def counted(client: "redis.Redis") -> Decimal:
    """Without the drift of `HINCRBYFLOAT`, which stays far below half a cent."""
    buckets: list[list[Any]] = [client.hvals(key) for key in client.scan_iter("agg:*")]
    return sum((round(Decimal(text), 2) for texts in buckets for text in texts), Decimal(0))


def queued(client: "redis.Redis") -> Decimal:
    rows = client.lrange("TransactionQueue", 0, -1)
    return sum((json.loads(row, parse_float=Decimal)["Amount"] for row in rows), Decimal(0))
