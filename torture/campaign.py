"""A campaign: its cases, the place where they run, and the file of finished cases."""

import json
import math
import shutil
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.spawner import Spawner
from torture.case import Case, Job, Kind, Outcome

_LONGEST_VIOLATION = 3000


def jobs_of(kinds: Iterable[Kind], share: float) -> list[Job]:
    """Return all cases, the kinds in turn. Each kind gets `share` of its full number of faults, at least one."""
    placed: list[tuple[float, Job]] = []
    for kind in kinds:
        faults = max(1, math.ceil(kind.full * share))
        cases = math.ceil(faults / kind.per_case)
        placed += [
            (number / cases, Job(kind, number, min(kind.per_case, faults - number * kind.per_case)))
            for number in range(cases)
        ]
    return [job for _, job in sorted(placed, key=lambda each: each[0])]


class Workplace:
    """Runs cases in a folder. It keeps the files of a case with a violation under `failed`."""

    def __init__(self, folder: Path, seed: int, spawner: Spawner) -> None:
        self._folder, self._seed, self._spawner = folder, seed, spawner
        self._files = folder / "files"
        self._files.mkdir(parents=True, exist_ok=True)

    def run(self, job: Job) -> Outcome:
        """Run a case and return its outcome. An exception in a case becomes a violation and is not raised."""
        outcome = Outcome(job.kind.name, job.number)
        name = f"{job.kind.name}-{job.number}"
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        begun = time.monotonic()
        try:
            with ExitStack() as stack:
                job.kind.run(Case(job, outcome, self._seed, folder, self._files, self._spawner, stack))
        except pytest.skip.Exception as skip:
            outcome.skipped = str(skip)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - the other cases go on
            outcome.violations.append(f"{type(error).__name__}: {error}"[:_LONGEST_VIOLATION])
        outcome.seconds = round(time.monotonic() - begun, 2)
        outcome.ready_seconds = round(outcome.ready_seconds, 2)
        if outcome.violations and not job.kind.must_drift:
            kept = self._folder / "failed" / name
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(folder, kept, symlinks=True, ignore=_sockets)
        shutil.rmtree(folder, ignore_errors=True)
        return outcome


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]


class State:
    """A file with one line for each finished case, so that an interrupted campaign can go on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.outcomes: dict[tuple[str, int], Outcome] = {}
        if path.exists():
            for line in path.read_text().splitlines(keepends=True):
                if line.endswith("\n"):  # the last line may be torn
                    outcome = Outcome(**json.loads(line))
                    self.outcomes[outcome.kind, outcome.number] = outcome
            self._rewrite()

    def add(self, outcome: Outcome) -> None:
        self.outcomes[outcome.kind, outcome.number] = outcome
        with self._path.open("a") as file:
            file.write(json.dumps(outcome.as_dict()) + "\n")

    def forget(self) -> None:
        self.outcomes.clear()
        self._rewrite()

    def _rewrite(self) -> None:
        self._path.write_text("".join(json.dumps(each.as_dict()) + "\n" for each in self.outcomes.values()))
