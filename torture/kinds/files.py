"""The file is appended to, cut, replaced, renamed, torn, or read by two instances during its import."""

import os
import shutil
import time
from collections.abc import Callable

from support.redis_server import KINDS
from support.service import Setting
from torture.case import SHORT, Case, Input, Kind
from torture.kinds.progress import Progress
from torture.stores import Stores, own_redis, some_archive, some_stores
from torture.verify import check, wait_until_imported

SETTINGS: dict[str, Setting] = {
    "DumperTaskScheduleInterval": 0.1,
    "CutOffDays": 0,
    "ReplaySpeed": 1,
    "LeaseSeconds": 0.6,
    "TransactionCkeckTimeout": 0.1,
}


class Stage:
    """A service that reads its own file in a folder, with pauses, and has begun to."""

    def __init__(self, case: Case, *, share: float = 1.0) -> None:
        """Write the first `share` of the file, cut at any byte."""
        self.case = case
        self.stores = some_stores(case)
        self.whole = case.file(SHORT)
        self.content = self.whole.path.read_bytes()
        self.folder = case.folder / "files"
        self.folder.mkdir()
        self.path = self.folder / "month.csv"
        self.path.write_bytes(self.content[: int(len(self.content) * share)])
        self.file = Input(self.path, self.whole.truth)
        self.service = case.service({**SETTINGS, **self.stores.settings, "CsvFilePath": self.folder})
        self.progress = Progress(self.service, self.file)

    def begin(self) -> None:
        self.case.start(self.service)
        self.service.wait(self.progress.has_grown, "it does some work")
        time.sleep(self.case.chance.uniform(0, 1))

    def end(self, *inputs: Input) -> None:
        """Check after the faults that every row is read and all totals are exact."""
        self.case.outcome.faults += 1
        if self.case.chance.random() < 0.5:
            self.service.kill()
            self.case.start(self.service, ReplaySpeed=0)
        check(self.case, self.service, self.stores, inputs)


def appended(case: Case) -> None:
    """Append to the file in pieces that end at any byte, within a line too."""
    stage = Stage(case, share=0.3)
    with case.readers([stage.service], [stage.file]):
        stage.begin()
        at = stage.path.stat().st_size
        while at < len(stage.content):
            piece = stage.content[at : at + case.chance.randint(1, 100_000)]
            with stage.path.open("ab") as file:
                file.write(piece)
            at += len(piece)
            time.sleep(case.chance.uniform(0, 0.1))
        stage.end(stage.file)


def torn(case: Case) -> None:
    """Leave the last line without an end for a while, and kill the service meanwhile."""
    cut = case.chance.uniform(0.02, 0.1)
    stage = Stage(case, share=cut)
    with case.readers([stage.service], [stage.file]):
        stage.begin()
        time.sleep(1)
        stage.service.kill()
        case.start(stage.service)
        time.sleep(case.chance.uniform(0, 1))
        with stage.path.open("ab") as file:
            file.write(stage.content[stage.path.stat().st_size :])
        stage.end(stage.file)


def truncated(case: Case) -> None:
    """Cut the file after or before the checkpoint; later write the same bytes again."""
    stage = Stage(case)
    with case.readers([stage.service], [stage.file]):
        stage.begin()
        os.truncate(stage.path, case.chance.randint(1000, len(stage.content) - 1))
        time.sleep(case.chance.uniform(0.5, 2))
        with stage.path.open("ab") as file:
            file.write(stage.content[stage.path.stat().st_size :])
        stage.end(stage.file)


def replaced(case: Case) -> None:
    """Replace the file by another one: the old one must be read to its end, then the new one."""
    stage = Stage(case)
    other = case.file(SHORT._replace(rows=SHORT.rows // 2))
    with case.readers([stage.service], []):
        stage.begin()
        new = case.folder / "new"
        shutil.copy(other.path, new)
        new.replace(stage.path)
        stage.service.wait_for_log("it is a new source")
        inputs = stage.file, Input(stage.path, other.truth)
        wait_until_imported(case, stage.service, inputs)
        stage.end(*inputs)


def renamed(case: Case) -> None:
    """Rename the file: it must stay the same source."""
    stage = Stage(case)
    moved = Input(stage.folder / "renamed.csv", stage.whole.truth)
    with case.readers([stage.service], []):
        stage.begin()
        stage.path.rename(moved.path)
        stage.service.wait_for_log("moved")
        stage.end(moved)


def two_instances(case: Case) -> None:
    """Read one file with two services on the same stores, and kill one of them in the middle."""
    server = own_redis(case, case.chance.choice(KINDS))
    stores = Stores(server, some_archive(case))
    file = case.file(SHORT)
    data = case.folder / "service-data"
    settings = {**SETTINGS, **stores.settings, "CsvFilePath": file.path, "DataDir": data}
    both = [case.service(settings) for _ in range(2)]
    with case.readers(both, [file]):
        for service in both:
            service.data_dir = data
            case.start(service)
        time.sleep(case.chance.uniform(0, 1.5))
        case.chance.choice(both).kill()
        case.outcome.faults += 1
        for service in both:
            if service.running.poll() is None:
                check(case, service, stores, [file])


SCENARIOS: tuple[Callable[[Case], None], ...] = (appended, torn, truncated, replaced, renamed, two_instances)


def run(case: Case) -> None:
    scenario = case.turn(SCENARIOS)
    case.outcome.count(scenario.__name__.replace("_", " "))
    scenario(case)


FILE = Kind("file", "appended, torn, cut, replaced, renamed, two readers", 2 * len(SCENARIOS), 1, run)
