"""An instance is stopped until its lease expires, another one takes over, and then the stopped one goes on."""

import signal
import time

from redis import Redis

from daybook.stores import redis_keys
from support.redis_server import KINDS
from support.service import Service, Setting, until
from torture.case import LONG, Case, Kind
from torture.readers import Readers
from torture.stores import Stores, own_redis, some_archive
from torture.verify import check

LEASE_SECONDS = 1.2
ALONE_SECONDS = 0.3
"""Seconds in which the replaced instance runs while its successor is stopped. The successor's lease lasts longer."""
REST_SECONDS = 0.05
LOCKED = "database is locked"
"""Error of the other instance while the stopped one holds a transaction of SQLite. It cannot take over then."""
SHARE_WITH_COMMIT = 0.5
"""Share of successors that commit before they are stopped. The others are stopped as soon as they have the lane."""
SETTINGS: dict[str, Setting] = {
    "LeaseSeconds": LEASE_SECONDS,
    "DumperTaskScheduleInterval": 0.1,
    "CutOffDays": 0,
    "ReplaySpeed": 1,
    "TransactionCkeckTimeout": 0.1,
}


def taken_over(case: Case) -> None:
    """Run two instances on the same stores and file. Stop each in turn while it has the lane."""
    server = own_redis(case, case.chance.choice(KINDS))
    stores = Stores(server, some_archive(case))
    file = case.file(LONG)
    folder = case.folder / "service-data"
    settings = SETTINGS | stores.settings | {"CsvFilePath": file.path, "DataDir": folder}
    both = [case.service(settings) for _ in range(2)]
    for service in both:
        service.data_dir = folder
        case.start(service)
    with case.readers(both, [file]) as readers, stores.client(both[0]) as client:
        for _ in range(case.faults):
            time.sleep(case.chance.uniform(0, 0.3))
            holder, other = _by_turn(both, client)
            _pause(case, holder, other, client, readers)
        for service in both:
            service.stop()
        case.start(both[0], ReplaySpeed=0)
        check(case, both[0], stores, [file])


def _by_turn(both: list[Service], client: "Redis") -> list[Service]:
    """Return both services, first the holder of the lane: its log names the present epoch."""

    def has_lane(service: Service) -> bool:
        epoch = client.hget(redis_keys.LANE, "epoch")
        return f"epoch={epoch!s}\n" in service.log

    until(lambda: any(map(has_lane, both)), "one of the two has the lane")
    return sorted(both, key=has_lane, reverse=True)


def _pause(case: Case, holder: Service, other: Service, client: "Redis", readers: Readers) -> None:
    """Pause the holder until the other takes over. A write of the replaced one that Redis accepts is a violation.

    To see such a write, the successor is stopped while the replaced instance runs again.
    """
    told = len(other.log)
    old_owner = client.hget(redis_keys.LANE, "owner")
    holder.send(signal.SIGSTOP)
    readers.resting.add(holder)
    try:
        with case.timed():
            other.wait(lambda: "lane taken" in other.log[told:] or LOCKED in other.log[told:], "the other takes over")
        if "lane taken" not in other.log[told:]:
            case.outcome.count("stopped while it held the lock of the SQLite file")
            return
        if case.chance.random() < SHARE_WITH_COMMIT:
            _until_it_commits(client)
        other.send(signal.SIGSTOP)
        readers.resting.add(other)
        try:
            before = _written_at_rest(client)
            holder.send(signal.SIGCONT)
            time.sleep(ALONE_SECONDS)
            after = _written(client)
            if client.hget(redis_keys.LANE, "epoch") == before[1]:
                case.outcome.count("seen alone")
                accepted = int(before != after) + int(before[0] == old_owner)
                case.outcome.count("writes accepted", accepted)
                case.expect(not accepted, f"a replaced instance wrote: {before} became {after}")
        finally:
            other.send(signal.SIGCONT)
    finally:
        holder.send(signal.SIGCONT)
        readers.resting.clear()
        case.outcome.faults += 1


def _until_it_commits(client: "Redis") -> None:
    first = client.hget(redis_keys.LANE, "sequence")
    deadline = time.monotonic() + 1
    while client.hget(redis_keys.LANE, "sequence") == first and time.monotonic() < deadline:
        time.sleep(0.005)


def _written(client: "Redis") -> tuple[object, ...]:
    """Return the lane's owner, epoch and last commit, the snapshots taken and settled, and all bucket versions."""
    lane = client.hmget(redis_keys.LANE, "owner", "epoch", "sequence")
    snapshots = client.hmget(redis_keys.STATE, "snapshot", "settled")
    versions = client.hgetall(redis_keys.VERSIONS)
    return (*lane, *snapshots, hash(frozenset(versions.items())))


def _written_at_rest(client: "Redis") -> tuple[object, ...]:
    """Return what `_written` returns, once Redis has executed all commands that the stopped instance had sent."""
    before: tuple[object, ...] = ()
    now = _written(client)
    while before != now:
        time.sleep(REST_SECONDS)
        before, now = now, _written(client)
    return now


PAUSE = Kind("pause", "stopped past the lease, replaced, continued", 200, 5, taken_over)
