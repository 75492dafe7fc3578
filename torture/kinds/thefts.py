"""Another program takes batches from the queue, and the queue gets another name while batches wait in it."""

import time
from contextlib import suppress

from redis.exceptions import RedisError

from support.failpoints import REQUEUE
from support.service import Setting, until
from torture.case import LONG, SHORT, Case, Kind
from torture.kinds.progress import Progress
from torture.stores import some_stores
from torture.verify import check

QUEUE = "TransactionQueue"
SETTINGS: dict[str, Setting] = {
    "LeaseSeconds": 0.6,
    "DumperTaskScheduleInterval": 0.2,
    "CutOffDays": 0,
    "ReplaySpeed": 1,
    "TransactionCkeckTimeout": 0.1,
}
LONGEST_WAIT_SECONDS, REST_SECONDS = 0.6, 20.0
SHARE_AT_A_POINT = 0.3
"""Of the thefts after which the service dies while it sets the checkpoints back."""


def stolen(case: Case) -> None:
    """Take single batches, as the original system's consumer does when it is left running."""
    stores = some_stores(case)
    file = case.file(LONG)
    service = case.service({**SETTINGS, **stores.settings, "CsvFilePath": file.path})
    progress = Progress(service, file)
    with case.readers([service], [file]):
        for number in range(case.faults):
            if number == 0 or service.running.poll() is not None:
                at = f"{case.chance.choice(REQUEUE)}:1" if case.chance.random() < SHARE_AT_A_POINT else ""
                service.launch(DAYBOOK_FAILPOINT=at)
            until(lambda: progress.has_grown() or service.running.poll() is not None, "it does some work, or dies")
            with suppress(RedisError, OSError), stores.client(service) as client:
                if client.execute_command("BRPOP", QUEUE, 2, NEVER_DECODE=True):
                    case.outcome.faults += 1
                    case.outcome.count("batches stolen")
            time.sleep(case.chance.uniform(0, LONGEST_WAIT_SECONDS))
            if number % 3 == 2:
                service.kill()
        service.kill()
        case.start(service, ReplaySpeed=0, DAYBOOK_FAILPOINT="")
        check(case, service, stores, [file])


def renamed(case: Case) -> None:
    """Kill the service while batches wait, and start it with another name for the queue, again and again."""
    stores = some_stores(case)
    file = case.file(SHORT._replace(rows=40_000, seconds=8))
    service = case.service({**SETTINGS, **stores.settings, "CsvFilePath": file.path})
    progress = Progress(service, file)
    with case.readers([service], [file]):
        for number in range(case.faults):
            at = "redis.adopt_queue.after" if case.chance.random() < SHARE_AT_A_POINT else ""
            name = f"{QUEUE}-{number}"
            service.launch(RedisTransactionQueueKeyName=name, ReplaySpeed=2, DAYBOOK_FAILPOINT=at)
            until(lambda: progress.has_grown() or service.running.poll() is not None, "it does some work")
            time.sleep(case.chance.uniform(0, LONGEST_WAIT_SECONDS))
            service.kill()
            case.outcome.faults += 1
        case.start(service, RedisTransactionQueueKeyName=QUEUE, ReplaySpeed=0, DAYBOOK_FAILPOINT="")
        check(case, service, stores, [file])


THEFT = (
    Kind("theft", "another program takes batches from the queue", 150, 9, stolen),
    Kind("queue-name", "killed, and the queue gets another name", 50, 5, renamed),
)
