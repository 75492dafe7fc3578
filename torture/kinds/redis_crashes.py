"""Redis is killed, loses unsynced writes, is wiped, or goes back to an older copy of itself."""

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from support.redis_server import KINDS
from support.service import Service, Setting
from torture.case import LONG, Case, Kind
from torture.kinds.progress import Progress
from torture.stores import Stores, TcpRedis, own_redis, some_archive
from torture.verify import check, wait_until_archived, wait_until_imported

SETTINGS: dict[str, Setting] = {
    "LeaseSeconds": 0.6,
    "DumperTaskScheduleInterval": 0.1,
    "CutOffDays": 0,
    "ReplaySpeed": 1,
    "TransactionCkeckTimeout": 0.1,
}
LONGEST_WORK_SECONDS, REST_SECONDS = 0.5, 0.5
"""Longest work before a fault, and rest before the last fault, when all is imported, archived and evicted."""
FROZEN_SECONDS = 1.5
"""Longest time of a sync before the crash."""
SHARE_TIGHT, PLENTY = 0.6, 20_000
"""Share of cases with a Redis that goes back in which days are evicted and loaded again all the time; bucket limit of
the others.
"""
SHARE_WITH_POWER = 0.5
"""Share of crashes during a slow sync that lose everything not on disk, as a loss of power does."""

Break = Callable[[Case, TcpRedis], None]


def _broken(case: Case, policy: str, break_it: Break, *, falls: bool) -> None:
    """Break Redis and bring it back again and again during the import, and once more when the service rests."""
    tight = falls and case.chance.random() < SHARE_TIGHT and break_it is not _kill_during_a_slow_sync
    if tight:
        policy = "always"  # otherwise each eviction waits a second for the sync
    server = own_redis(case, case.chance.choice(KINDS), "--appendfsync", policy)
    stores = Stores(server, some_archive(case))
    file = case.file(LONG._replace(days=90) if tight else LONG)
    room: dict[str, Setting] = {"MaxResidentBuckets": 100 if tight else PLENTY}
    service = case.service({**SETTINGS, **stores.settings, **room, "CsvFilePath": file.path})
    progress = Progress(service, file)
    with case.readers([service], [file], falls=falls):
        case.start(service)
        for _ in range(max(1, case.faults - 1)):
            progress.forget()
            service.wait(progress.has_grown, "it does some work")
            time.sleep(case.chance.uniform(0, LONGEST_WORK_SECONDS))
            _break(case, server, service, break_it)
        case.outcome.count("in the middle", int(progress.rows < file.truth.rows))
        service.stop()
        case.start(service, ReplaySpeed=0, MaxResidentBuckets=PLENTY)
        if case.faults > 1:
            wait_until_imported(case, service, [file])
            wait_until_archived(case, stores, service)
            time.sleep(REST_SECONDS)
            _break(case, server, service, break_it)
            case.outcome.count("at rest")
        check(case, service, stores, [file])


def _break(case: Case, server: TcpRedis, service: Service, break_it: Break) -> None:
    break_it(case, server)
    with case.timed():
        service.wait_until_ready()
    case.outcome.faults += 1


def _kill(_: Case, server: TcpRedis) -> None:
    server.kill()
    server.start()


def _kill_during_a_slow_sync(case: Case, server: TcpRedis) -> None:
    on_disk = server.freeze_fsync()
    time.sleep(case.chance.uniform(0, FROZEN_SECONDS))
    if case.chance.random() < SHARE_WITH_POWER:
        server.lose_power(on_disk)
        case.outcome.count("with loss of power")
    else:
        server.kill()
    server.start()


def _wipe(case: Case, server: TcpRedis) -> None:
    if case.chance.random() < 0.5:
        with server.client() as client:
            client.flushall()
        return
    server.kill()
    server.wipe()
    server.start()


def _restore_copy(case: Case, server: TcpRedis) -> None:
    """Replace the data by the copy of an earlier call, and take a new copy. The first call only takes one."""
    copy = case.folder / "older-copy"
    if copy.exists():
        server.kill()
        server.wipe()
        shutil.copytree(copy, server.folder)
        server.start()
    if not copy.exists() or case.chance.random() < 0.5:
        _copy(server, copy)
        time.sleep(case.chance.uniform(0.2, 1))


def _copy(server: TcpRedis, copy: Path) -> None:
    server.kill()
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(server.folder, copy)
    server.start()


def _kind(name: str, what: str, full: int, per_case: int, policy: str, break_it: Break, *, falls: bool) -> Kind:
    return Kind(name, what, full, per_case, partial(_broken, policy=policy, break_it=break_it, falls=falls))


REDIS = (
    _kind("redis-always", "Redis killed, appendfsync always", 200, 8, "always", _kill, falls=False),
    _kind("redis-everysec", "Redis killed, appendfsync everysec", 200, 8, "everysec", _kill, falls=True),
    _kind("redis-slow", "Redis killed, fsync held up", 200, 6, "everysec", _kill_during_a_slow_sync, falls=True),
    _kind("redis-wiped", "Redis wiped", 50, 5, "everysec", _wipe, falls=True),
    _kind("redis-older", "Redis restored from an older copy", 50, 5, "everysec", _restore_copy, falls=True),
)
