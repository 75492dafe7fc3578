"""SIGTERM while rows come in: every exit must be in time, and the queue must be kept."""

import time

from support.service import Setting
from torture.case import LONG, Case, Kind
from torture.kinds.progress import Progress
from torture.stores import some_stores
from torture.verify import check

GRACE_SECONDS, FORCE_SECONDS = 10, 2
SETTINGS: dict[str, Setting] = {
    "GracefulShutDownTimeout": GRACE_SECONDS,
    "ForceShutDownTimeout": FORCE_SECONDS,
    "DumperTaskScheduleInterval": 0.2,
    "CutOffDays": 0,
}


def under_load(case: Case) -> None:
    """Start, work and send SIGTERM, again and again; sometimes in the middle of the start."""
    stores = some_stores(case)
    file = case.file(LONG)
    service = case.service({**SETTINGS, **stores.settings, "CsvFilePath": file.path})
    progress = Progress(service, file)
    longest = 0.0
    with case.readers([service], [file]):
        for _ in range(case.faults):
            service.launch(ReplaySpeed=case.chance.choice([1, 2])).wait(lambda: service.address, "it answers")
            if case.chance.random() < 0.8:
                service.wait(progress.has_grown, "it does some work")
            time.sleep(case.chance.uniform(0, 0.4))
            begun = time.monotonic()
            code = service.stop()
            longest = max(longest, time.monotonic() - begun)
            case.expect(code == 0, f"exit code {code} at SIGTERM: {service.log[-500:]}")
            case.outcome.faults += 1
        case.expect(longest <= GRACE_SECONDS, f"the longest exit took {longest:.1f} s")
        case.outcome.count(f"exits within {max(1, int(longest + 1))} s", case.faults)
        case.outcome.count("in the middle", int(progress.rows < file.truth.rows))
        case.start(service, ReplaySpeed=0)
        check(case, service, stores, [file])


STOP = Kind("sigterm", "SIGTERM under load", 100, 10, under_load)
