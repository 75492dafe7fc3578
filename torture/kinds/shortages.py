"""A store has no memory or disk, or Redis may evict. Daybook must recover exactly or say why it does not start."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.redis_server import KINDS
from support.service import Service, Setting
from torture.case import SHORT, Case, Kind
from torture.kinds.progress import Progress
from torture.stores import Stores, own_redis, some_archive
from torture.verify import check

DISK_BYTES = 48 << 20
SHORT_SECONDS = 3.0
POLICIES = ("allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-random", "volatile-ttl")
SETTINGS: dict[str, Setting] = {
    "DumperTaskScheduleInterval": 0.1,
    "CutOffDays": 0,
    "ReplaySpeed": 1,
    "TransactionCkeckTimeout": 0.1,
}


def redis_without_memory(case: Case) -> None:
    server = own_redis(case, case.chance.choice(KINDS))
    with server.client() as client:

        def cause() -> None:
            client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + (4 << 10))

        def cure() -> None:
            client.config_set("maxmemory", 0)

        _short(case, Stores(server, some_archive(case)), cause, cure)


def redis_without_disk(case: Case) -> None:
    policy = case.chance.choice(["always", "everysec"])
    with _small_disk(case.folder / "disk") as disk:
        server = own_redis(case, case.chance.choice(KINDS), "--appendfsync", policy, folder=disk / "redis")
        ballast = _Ballast(disk)

        def cure() -> None:
            ballast.drop()
            if not server.is_running():  # with `always` it ends itself when it cannot sync a write
                server.kill()
                server.start()

        _short(case, Stores(server, some_archive(case)), ballast.fill, cure)
        server.kill()


def sqlite_without_disk(case: Case) -> None:
    with _small_disk(case.folder / "disk") as disk:
        server = own_redis(case, case.chance.choice(KINDS))
        ballast = _Ballast(disk)
        _short(case, Stores(server, None), ballast.fill, ballast.drop, data_dir=disk / "data")


def embedded_server_without_disk(case: Case) -> None:
    """Fill the disk, so that the embedded server ends. Daybook waits or ends with the reason, and must lose nothing."""
    with _small_disk(case.folder / "disk") as disk:
        ballast = _Ballast(disk)
        _short(case, Stores(None, None), ballast.fill, ballast.drop, folder=disk / "service")


def wrong_policy(case: Case) -> None:
    """Start with a policy that may evict. Daybook must refuse it with the reason and keep all data."""
    server = own_redis(case, case.chance.choice(KINDS))
    file = case.file(SHORT)
    stores = Stores(server, some_archive(case))
    service = case.service({**SETTINGS, **stores.settings, "CsvFilePath": file.path})
    with server.client() as client, case.readers([service], [file]):
        case.start(service)
        for policy in POLICIES:
            service.stop()
            client.config_set("maxmemory-policy", policy)
            code = service.launch().ended()
            case.expect(code == 1, f"exit code {code} on {policy}")
            case.expect(f"maxmemory-policy {policy}" in service.log, f"no reason given: {service.log[-300:]}")
            client.config_set("maxmemory-policy", "noeviction")
            case.start(service, ReplaySpeed=0)
        case.outcome.faults += 1
        check(case, service, stores, [file])


def _short(
    case: Case,
    stores: Stores,
    cause: Callable[[], None],
    cure: Callable[[], None],
    *,
    data_dir: Path | None = None,
    folder: Path | None = None,
) -> None:
    """Begin a shortage in the middle of an import, and end it some seconds later."""
    file = case.file(SHORT)
    place: dict[str, Setting] = {"DataDir": data_dir} if data_dir else {}
    service = case.service({**SETTINGS, **stores.settings, **place, "CsvFilePath": file.path}, folder=folder)
    service.data_dir = data_dir or service.data_dir
    progress = Progress(service, file)
    with case.readers([service], [file]):
        case.start(service)
        service.wait(progress.has_grown, "it does some work")
        time.sleep(case.chance.uniform(0, 1))
        told = len(service.log)
        cause()
        _bear_it(case, service)
        case.expect("aiting for" in service.log[told:] or service.running.poll(), "the shortage was not felt")
        cure()
        with case.timed():
            if service.running.poll() is not None:
                service.launch()
            service.wait_until_ready()
        case.outcome.count("in the middle", int(progress.has_grown() and progress.rows < file.truth.rows))
        case.outcome.faults += 1
        code = service.stop()
        case.expect(code == 0, f"exit code {code} at SIGTERM")
        case.start(service, ReplaySpeed=0)
        check(case, service, stores, [file])


def _bear_it(case: Case, service: Service) -> None:
    """Check that the service goes on, or ends with one line that gives the reason."""
    end = time.monotonic() + SHORT_SECONDS
    while time.monotonic() < end and service.running.poll() is None:
        time.sleep(0.05)
    code = service.running.poll()
    if code is None:
        case.outcome.count("lived through it")
        return
    last = service.log.splitlines()[-1] if service.log else ""
    case.outcome.count("ended with the reason")
    case.expect(code == 1 and last.startswith("daybook: "), f"it ended with {code}: {last}")


class _Ballast:
    """Fills a disk to its last byte, and frees it again."""

    def __init__(self, disk: Path) -> None:
        self._path = disk / "ballast"

    def fill(self) -> None:
        with self._path.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def drop(self) -> None:
        self._path.unlink()


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """Mount a small file system; only root may."""
    if folder.is_mount():  # left by a campaign that was killed
        subprocess.run(["umount", "--lazy", folder], check=True)
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "daybook-torture", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here: run as root, in a container with CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


SCENARIOS = (
    redis_without_memory, redis_without_disk, sqlite_without_disk, embedded_server_without_disk, wrong_policy,
)  # fmt: skip


def run(case: Case) -> None:
    scenario = case.turn(SCENARIOS)
    case.outcome.count(scenario.__name__.replace("_", " "))
    scenario(case)


SHORTAGE = Kind("shortage", "no memory, no disk, wrong eviction policy", 2 * len(SCENARIOS), 1, run)
