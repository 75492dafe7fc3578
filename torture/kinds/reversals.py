"""The service and the command are killed, and Redis is wiped, while sources are reverted and replaced."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from redis.exceptions import RedisError

from support.commands import Commands
from support.failpoints import REVERSAL
from support.sample_file import generated
from support.service import Setting, wait_for_end
from torture.case import Case, Input, Kind, truth
from torture.stores import some_stores
from torture.verify import check_totals, wait_until_archived, wait_until_imported

SETTINGS: dict[str, Setting] = {
    "DumperTaskScheduleInterval": 0.1,
    "CutOffDays": 0,
    "LeaseSeconds": 0.5,
    "OnOverlap": "import",
}
POINTS = (
    *REVERSAL, "redis.enqueue.before", "redis.enqueue.after", "redis.register.after", "redis.update_source.after",
)  # fmt: skip
"""On the way of the command."""
LANE_POINTS = (
    "redis.commit.before", "redis.commit.after", "redis.snapshot.after", "sqlite.write.committed", "redis.settle.after",
)  # fmt: skip
"""On the way of the service."""
ROWS, DAYS, FILES, TRIES = 2000, 20, 2, 5
LONGEST_WAIT_SECONDS = 1.5
SHARE_AT_A_POINT, SHARE_REPLACED, SHARE_WIPED = 0.6, 0.5, 0.2


def interrupted(case: Case) -> None:
    """Revert and replace, with a kill on the way, then again until it is done; compare with the files that stand."""
    stores = some_stores(case)
    inbox, others = case.folder / "inbox", case.folder / "others"
    inbox.mkdir()
    others.mkdir()
    standing = [_file(case, inbox, number) for number in range(FILES)]
    service = case.service(SETTINGS | stores.settings | {"CsvFilePath": inbox / "*.csv"})
    commands = Commands(case.spawner, case.folder)
    case.stack.callback(commands.close)
    commands.settings = dict(service.settings)
    case.start(service)
    wait_until_imported(case, service, standing)
    with case.readers([service], [], falls=True):
        for number in range(case.faults):
            wait_until_archived(case, stores, service)
            old = case.chance.choice(standing)
            words: tuple[object, ...] = ("sources", "revert", old.path, "--why", "torture")
            standing.remove(old)
            if not standing or case.chance.random() < SHARE_REPLACED:
                standing.append(_file(case, others, FILES + number))
                words = ("import", "--replace", old.path, standing[-1].path, "--why", "torture")
            _at_some_point(case, service.settings, commands)
            service.stop()
            service.launch(DAYBOOK_FAILPOINT=service.settings.get("DAYBOOK_FAILPOINT", ""))
            command = commands.start(*words)
            time.sleep(case.chance.uniform(0, LONGEST_WAIT_SECONDS))
            if case.chance.random() < SHARE_WIPED:
                with suppress(RedisError, OSError, TypeError), stores.client(service) as client:
                    client.flushall()
                    case.outcome.count("wiped")
            service.kill()
            with suppress(ProcessLookupError):
                os.kill(command.process.pid, signal.SIGKILL)
            wait_for_end(command.process)
            case.outcome.faults += 1
            case.start(service, DAYBOOK_FAILPOINT="")
            commands.settings["DAYBOOK_FAILPOINT"] = ""
            if not any(commands.start(*words).code() == 0 for _ in range(TRIES)):
                case.wrong(f"not done after {TRIES} tries: {words}")
        check_totals(case, service, stores, [each.truth for each in standing])


def _at_some_point(case: Case, service: dict[str, Setting], commands: Commands) -> None:
    """Let the service or the command die at a failpoint, or neither."""
    service["DAYBOOK_FAILPOINT"] = commands.settings["DAYBOOK_FAILPOINT"] = ""
    if case.chance.random() < SHARE_AT_A_POINT:
        settings, points = case.chance.choice(((service, LANE_POINTS), (commands.settings, POINTS)))
        settings["DAYBOOK_FAILPOINT"] = f"{case.chance.choice(points)}:{case.chance.choice((1, 1, 2))}"


def _file(case: Case, folder: Path, number: int) -> Input:
    seed = case.chance.randrange(10**6)
    path = generated(folder / f"{number}.csv", rows=ROWS, days=DAYS, bad_rows=0.003, seed=seed)
    return Input(path, truth(path))


REVERSALS = Kind("reversal", "killed, and Redis wiped, while sources are reverted and replaced", 300, 5, interrupted)
