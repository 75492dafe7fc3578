"""MongoDB is killed in the middle of a dump, or away for a minute."""

import time
from functools import partial

from support.redis_server import KINDS
from support.service import Setting
from torture.case import LONG, Case, Kind
from torture.kinds.progress import Progress
from torture.stores import ARCHIVES, Stores, own_mongo, own_redis
from torture.verify import check

LONGEST_DUMP_SECONDS = 0.15
"""Longest time from the beginning of a dump to the kill."""
SETTINGS: dict[str, Setting] = {
    "DumperTaskScheduleInterval": 0.1,
    "CutOffDays": 0,
    "ReplaySpeed": 1,
    "TransactionCkeckTimeout": 0.1,
}


def interrupted(case: Case, away_seconds: float) -> None:
    """Kill MongoDB during writes, and start it again after `away_seconds`."""
    embedded = case.chance.random() < 0.5
    redis = None if embedded else own_redis(case, case.chance.choice(KINDS))
    kind = case.turn([each for each in ARCHIVES if each != "sqlite"])
    mongo = own_mongo(case, kind)
    stores = Stores(redis, mongo)
    file = case.file(LONG)
    service = case.service({**SETTINGS, **stores.settings, "CsvFilePath": file.path})
    progress = Progress(service, file)
    with case.readers([service], [file]):
        case.start(service)
        for _ in range(case.faults):
            service.wait(progress.has_grown, "it does some work")
            dumps = service.log.count("dumped inserted")
            service.wait(lambda dumps=dumps: service.log.count("dumped inserted") > dumps, "a dump")  # type: ignore[misc]
            time.sleep(case.chance.uniform(0.1, 0.1 + LONGEST_DUMP_SECONDS))
            mongo.kill()
            time.sleep(away_seconds)
            mongo.start()
            with case.timed():
                service.wait_until_ready()
            case.outcome.faults += 1
            case.outcome.count(kind)
        case.outcome.count("in the middle", int(progress.rows < file.truth.rows))
        service.stop()
        case.start(service, ReplaySpeed=0)
        check(case, service, stores, [file])


MONGO = (
    Kind("mongo-killed", "MongoDB killed in the middle of a dump", 98, 5, partial(interrupted, away_seconds=0)),
    Kind("mongo-away", "MongoDB away for a minute", 2, 1, partial(interrupted, away_seconds=60)),
)
