"""The clock of Daybook passes midnight or jumps, and days pass the cutoff while rows are added to them.

The clock of Redis stays right. It measures leases and the age of changes, never a date.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.service import Setting
from torture.case import Case, Kind, Shape
from torture.kinds.progress import Progress
from torture.programs import turned_clock
from torture.stores import some_stores
from torture.verify import check

ROOT = Path(__file__).parents[2]
MONTH = Shape(16_000, 7, 31)
BEFORE_MIDNIGHT = timedelta(seconds=2)
CUT_OFF_DAYS = 6
SETTINGS: dict[str, Setting] = {
    "DumperTaskScheduleInterval": 0.1,
    "CutOffDays": CUT_OFF_DAYS,
    "ReplaySpeed": 1,
    "TransactionCkeckTimeout": 0.1,
}


class Clock:
    """Sets the clock of a service that runs `turned_clock` with the settings."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.settings: dict[str, Setting] = {turned_clock.OFFSET_VARIABLE: path, "PYTHONPATH": ROOT}

    def turn_to(self, moment: datetime) -> None:
        """Set the clock to a moment; it runs on from there."""
        draft = self._path.with_suffix(".new")
        draft.write_text(str((moment - datetime.now(UTC)).total_seconds()))
        draft.rename(self._path)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(self._path.read_text()))


def midnight(case: Case) -> None:
    """Pass midnight while rows of all days come in, so that one more day passes the cutoff."""
    _under(case, datetime(2026, 1, 21, tzinfo=UTC), [], days=MONTH.days)


def cutoff_of_the_only_day(case: Case) -> None:
    """Pass midnight while all rows belong to the day that passes the cutoff."""
    _under(case, datetime(2026, 1, 2 + CUT_OFF_DAYS, tzinfo=UTC), [], days=1)


def a_day_forth(case: Case) -> None:
    _under(case, datetime(2026, 1, 21, tzinfo=UTC), [timedelta(days=1)], days=MONTH.days)


def a_day_back(case: Case) -> None:
    _under(case, datetime(2026, 1, 21, tzinfo=UTC), [timedelta(days=-1)], days=MONTH.days)


def to_and_fro(case: Case) -> None:
    jumps = [timedelta(days=case.chance.choice([-1, 1]), seconds=case.chance.uniform(-50, 50)) for _ in range(6)]
    _under(case, datetime(2026, 1, 21, tzinfo=UTC), jumps, days=MONTH.days)


def _under(case: Case, midnight: datetime, jumps: list[timedelta], *, days: int) -> None:
    """Start shortly before a midnight and jump while rows come in. Readers must see no total fall."""
    clock = Clock(case.folder / "clock")
    clock.turn_to(midnight - BEFORE_MIDNIGHT)
    stores = some_stores(case)
    file = case.file(MONTH._replace(days=days))
    settings = {**SETTINGS, **stores.settings, **clock.settings, "CsvFilePath": file.path}
    service = case.service(settings, spawned=False)
    progress = Progress(service, file)
    service.program = turned_clock.__name__
    with case.readers([service], [file]):
        case.start(service)
        clock.turn_to(midnight - BEFORE_MIDNIGHT)
        service.wait(progress.has_grown, "it does some work")
        for jump in jumps:
            time.sleep(case.chance.uniform(0.2, 0.8))
            clock.turn_to(clock.now() + jump)
            case.outcome.faults += 1
        if not jumps:
            service.wait(lambda: clock.now() > midnight, "midnight")
            case.outcome.faults += 1
        service.wait(progress.has_grown, "it does some work")
        time.sleep(case.chance.uniform(0.5, 1.5))
        progress.has_grown()
        case.outcome.count("in the middle", int(progress.rows < file.truth.rows))
        case.outcome.count("evictions", service.log.count("evicted"))
        code = service.stop()
        case.expect(code == 0, f"exit code {code} at SIGTERM")
        case.start(service, ReplaySpeed=0)
        check(case, service, stores, [file])


SCENARIOS = (midnight, cutoff_of_the_only_day, a_day_forth, a_day_back, to_and_fro)


def run(case: Case) -> None:
    scenario = case.turn(SCENARIOS)
    case.outcome.count(scenario.__name__.replace("_", " "))
    scenario(case)


CLOCK = Kind("clock", "midnight, a day forth or back, cutoff", 2 * len(SCENARIOS), 1, run)
