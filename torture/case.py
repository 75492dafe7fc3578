"""One seeded scenario: what it is given, and what came of it."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from support.oracle import Truth, truth_of
from support.sample_file import generated
from support.service import Service, Setting
from support.spawner import Spawner
from torture.readers import Readers

_TRUTHS: dict[Path, Truth] = {}
Choice = TypeVar("Choice")
FILE_SEEDS = 2
"""So many different files of each shape; a campaign generates each once."""


@dataclass
class Outcome:
    """Of one case; a line of the state file."""

    kind: str
    number: int
    faults: int = 0
    """That were really injected."""
    rows_drift: int = 0
    cents_drift: str = "0"
    """Over all cells, the worst of API, Redis and archive, as decimal text."""
    ready_seconds: float = 0.0
    """Longest time from a start, or the end of a fault, to a service that is ready and right."""
    violations: list[str] = field(default_factory=list)
    skipped: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    """Further numbers by their names."""
    seconds: float = 0.0

    def drifted(self, rows: int, cents: Decimal) -> None:
        """One view of the totals is off by so much."""
        self.rows_drift = max(self.rows_drift, rows)
        self.cents_drift = str(max(Decimal(self.cents_drift), cents))

    def count(self, name: str, number: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + number

    @property
    def has_drift(self) -> bool:
        return bool(self.rows_drift) or Decimal(self.cents_drift) != 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Job(NamedTuple):
    """One case of a campaign."""

    kind: "Kind"
    number: int
    faults: int

    @property
    def key(self) -> tuple[str, int]:
        return self.kind.name, self.number


class Shape(NamedTuple):
    """Of a file to import."""

    rows: int
    seconds: float
    """At its own pace."""
    days: int
    bad_rows: float = 0.003
    """More of them slow the archive down for no further insight."""


LONG = Shape(40_000, 30, 40)
"""For many faults in one import."""
SHORT = Shape(12_000, 4, 40)
"""For one fault."""


class Input(NamedTuple):
    """A file to import, and what it adds up to."""

    path: Path
    truth: Truth


class Case:
    """The same seed makes the same choices; when things happen is up to the machine."""

    def __init__(
        self, job: Job, outcome: Outcome, seed: int, folder: Path, files: Path, spawner: Spawner, stack: ExitStack
    ) -> None:
        self.number, self.faults = job.number, job.faults
        """Of the case in its kind, and of the faults to inject."""
        self.first_fault = job.number * job.kind.per_case
        """How many the cases before have."""
        self.outcome = outcome
        self._seed = f"{seed}/{job.kind.name}"
        self.chance = random.Random(f"{self._seed}/{job.number}")
        self.folder = folder
        self.spawner = spawner
        self.stack = stack
        self._files = files
        self._services = 0

    def turn(self, choices: Sequence[Choice]) -> Choice:
        """All of them in turn over the kind's cases, in an order that the seed decides."""
        return self.in_order(choices)[self.number % len(choices)]

    def in_order(self, choices: Sequence[Choice]) -> list[Choice]:
        """In one order for all cases of the kind."""
        return random.Random(self._seed).sample(choices, len(choices))

    def file(self, shape: Shape) -> Input:
        """One of a few generated files, which cases share and must not change."""
        seed = self.chance.randrange(FILE_SEEDS)
        path = self._files / f"{'-'.join(f'{value:g}' for value in shape)}-{seed}.csv"
        if not path.exists():
            generated(path.with_suffix(".new"), **shape._asdict(), seed=seed).rename(path)
        return Input(path, _truth(path))

    def service(self, settings: Mapping[str, Setting], *, spawned: bool = True, folder: Path | None = None) -> Service:
        """Not started yet; killed at the end of the case."""
        self._services += 1
        place = folder or self.folder / f"service-{self._services}"
        place.mkdir(parents=True, exist_ok=True)
        return self.stack.enter_context(Service(place, self.spawner if spawned else None, **settings))

    def start(self, service: Service, **settings: Setting) -> None:
        with self.timed():
            service.launch(**settings).wait_until_ready()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """What is within ends when the service is ready."""
        begun = time.monotonic()
        yield
        self.outcome.ready_seconds = max(self.outcome.ready_seconds, time.monotonic() - begun)

    @contextmanager
    def readers(self, services: list[Service], inputs: list[Input], *, falls: bool = False) -> Iterator[Readers]:
        """Somebody reads all the time; what is wrong with the answers becomes a violation."""
        courses = {str(each.path): each.truth.course for each in inputs}
        with Readers(services, courses, falls=falls) as readers:
            yield readers
        self.outcome.violations += readers.violations
        self.outcome.count("reads", readers.reads)

    def wrong(self, violation: str) -> None:
        self.outcome.violations.append(violation)

    def expect(self, holds: object, violation: str) -> None:
        if not holds:
            self.wrong(violation)


class Kind(NamedTuple):
    """A kind of fault. `run` injects `case.faults` of them and checks what Daybook makes of it."""

    name: str
    what: str
    full: int
    """Faults of a full run."""
    per_case: int
    run: Callable[[Case], None]
    must_drift: bool = False
    """A control: nothing may be said about Daybook if this one counts right."""


def _truth(path: Path) -> Truth:
    if path not in _TRUTHS:
        _TRUTHS[path] = truth_of(path)
    return _TRUTHS[path]
