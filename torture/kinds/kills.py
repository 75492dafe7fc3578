"""The service is killed at random instants, or at a named failpoint."""

import os
import signal
import time
from contextlib import suppress

from support import failpoints
from support.service import Service, Setting, embedded_server, until, wait_for_end
from torture.case import Case, Kind, Shape
from torture.kinds.progress import Progress
from torture.stores import ARCHIVES, Stores, own_mongo, some_stores
from torture.verify import check

Settings = dict[str, Setting]

WIDE, NARROW = Shape(40_000, 30, 90), Shape(3000, 1, 90)
"""Shapes with 180 buckets, more than two of the settings below leave in Redis, and with 2."""
EVICTING: Settings = {"MaxResidentBuckets": 100, "DumperTaskScheduleInterval": 0.1, "CutOffDays": 0}
ROOMY: Settings = {"MaxResidentBuckets": 20_000, "DumperTaskScheduleInterval": 0.3, "MaxQueueBytes": 64 << 20}
TIGHT: Settings = {"MaxResidentBuckets": 100, "DumperTaskScheduleInterval": 10, "MaxQueueBytes": 4096}
SHARE_IN_START, SHARE_WITH_SERVER = 0.2, 0.2
LONGEST_LIFE_SECONDS = 0.4
LIFE_SECONDS = 120.0
"""Enough time on a busy machine when nearly every row evicts a day and loads another."""
NTHS = (1, 1, 2, 5)
POINTS = (*failpoints.SCRIPTS, *failpoints.SQLITE, *failpoints.MONGO, *failpoints.FILES, *failpoints.SERVER)


def at_random_instants(case: Case) -> None:
    """Kill one life after the other on the same stores; the last life imports the rest."""
    stores = some_stores(case)
    file = case.file(WIDE)
    service = case.service({"CsvFilePath": file.path, "LeaseSeconds": 0.5, **stores.settings})
    progress = Progress(service, file)
    with case.readers([service], [file]):
        for _ in range(case.faults):
            service.launch(ReplaySpeed=case.chance.choice([1, 1, 2]), **case.chance.choice([EVICTING, ROOMY, TIGHT]))
            if case.chance.random() >= SHARE_IN_START:
                until(progress.has_grown, "a life does some work")
            time.sleep(case.chance.uniform(0, LONGEST_LIFE_SECONDS))
            _kill(case, service, stores)
        case.start(service, ReplaySpeed=0, **ROOMY)
        case.outcome.count("in the middle", int(progress.rows < file.truth.rows))
        check(case, service, stores, [file])


def _kill(case: Case, service: Service, stores: Stores) -> None:
    code = service.running.poll()
    case.expect(code is None, f"the service ended by itself with {code}:\n{service.log[-1000:]}")
    service.kill()
    case.outcome.faults += 1
    server = embedded_server(service.data_dir) if stores.redis is None else None
    if server is not None and case.chance.random() < SHARE_WITH_SERVER:
        with suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)


def at_a_failpoint(case: Case) -> None:
    """Kill a life at the failpoint, then let another one finish. A failpoint that no life reaches is a violation."""
    point = case.turn(POINTS)
    for nth in (case.chance.choice(NTHS), 1):
        if _dies_at(case, point, nth):
            case.outcome.faults += 1
            case.outcome.count(point)
            return
    case.wrong(f"no life reaches {point}")


def _dies_at(case: Case, point: str, nth: int) -> bool:
    """Return False when the process ended without being killed. Check all totals in both cases."""
    file = case.file(NARROW)
    folder = case.folder / f"hit-{nth}"
    kind = "secantus" if point.startswith("mongo.") else "sqlite"
    if kind == "secantus":
        kind = case.chance.choice([each for each in ARCHIVES if each != "sqlite"])
    stores = Stores(None, own_mongo(case, kind, folder) if kind != "sqlite" else None)
    settings: Settings = EVICTING | {"LeaseSeconds": 0.3, "ReplaySpeed": 1, "CsvFilePath": file.path}
    service = case.service(settings | stores.settings, folder=folder)
    progress = Progress(service, file)
    with case.readers([service], [file]):
        service.launch(DAYBOOK_FAILPOINT=f"{point}:{nth}")
        until(lambda: service.running.poll() is not None or progress.is_done(), "all rows, or the end", LIFE_SECONDS)
        until(lambda: service.running.poll() is not None or "evicted" in service.log, "evictions, or the end")
        service.send(signal.SIGTERM)
        died = wait_for_end(service.running) == -signal.SIGKILL
        case.start(service, DAYBOOK_FAILPOINT="", ReplaySpeed=0, **ROOMY)
        check(case, service, stores, [file])
    return died


KILL = Kind("kill", "service killed at random instants", 1000, 10, at_random_instants)
FAILPOINT = Kind("failpoint", "service killed at every failpoint", 2 * len(POINTS), 1, at_a_failpoint)
