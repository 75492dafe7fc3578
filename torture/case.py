"""One seeded scenario: its input and its outcome."""

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
"""Number of different files of each shape; a campaign generates each once."""


@dataclass
class Outcome:
    """The outcome of one case; a line of the state file."""

    kind: str
    number: int
    faults: int = 0
    """Number of injected faults."""
    rows_drift: int = 0
    cents_drift: str = "0"
    """Sum over all cells, the largest of API, Redis and archive, as decimal text."""
    ready_seconds: float = 0.0
    """Longest time from a start, or from the end of a fault, until the service was ready."""
    violations: list[str] = field(default_factory=list)
    skipped: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    """Further numbers, by name."""
    seconds: float = 0.0

    def drifted(self, rows: int, cents: Decimal) -> None:
        """Note the drift of one view of the totals; the largest counts."""
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
    """The shape of a file to import."""

    rows: int
    seconds: float
    """Duration of its import at replay speed 1."""
    days: int
    bad_rows: float = 0.003
    """Share of bad rows. More of them only make the archive slower."""


LONG = Shape(40_000, 30, 40)
"""Shape for many faults in one import."""
SHORT = Shape(12_000, 4, 40)
"""Shape for one fault."""


class Input(NamedTuple):
    """A file to import, and its exact totals."""

    path: Path
    truth: Truth


class Case:
    """A running case. The same seed makes the same choices; the timing depends on the machine."""

    def __init__(
        self, job: Job, outcome: Outcome, seed: int, folder: Path, files: Path, spawner: Spawner, stack: ExitStack
    ) -> None:
        self.number, self.faults = job.number, job.faults
        """Number of the case in its kind, and number of faults to inject."""
        self.first_fault = job.number * job.kind.per_case
        """Number of faults in the cases before this one."""
        self.outcome = outcome
        self._seed = f"{seed}/{job.kind.name}"
        self.chance = random.Random(f"{self._seed}/{job.number}")
        self.folder = folder
        self.spawner = spawner
        self.stack = stack
        self._files = files
        self._services = 0

    def turn(self, choices: Sequence[Choice]) -> Choice:
        """Return this case's choice: the kind's cases take all choices in turn, in an order that the seed decides."""
        return self.in_order(choices)[self.number % len(choices)]

    def in_order(self, choices: Sequence[Choice]) -> list[Choice]:
        """Return the choices in a random order that is the same for all cases of the kind."""
        return random.Random(self._seed).sample(choices, len(choices))

    def file(self, shape: Shape) -> Input:
        """Return one of a few generated files. Cases share them and must not change them."""
        seed = self.chance.randrange(FILE_SEEDS)
        path = self._files / f"{'-'.join(f'{value:g}' for value in shape)}-{seed}.csv"
        if not path.exists():
            generated(path.with_suffix(".new"), **shape._asdict(), seed=seed).rename(path)
        return Input(path, truth(path))

    def service(self, settings: Mapping[str, Setting], *, spawned: bool = True, folder: Path | None = None) -> Service:
        """Return a service that is not started yet and is killed at the end of the case."""
        self._services += 1
        place = folder or self.folder / f"service-{self._services}"
        place.mkdir(parents=True, exist_ok=True)
        return self.stack.enter_context(Service(place, self.spawner if spawned else None, **settings))

    def start(self, service: Service, **settings: Setting) -> None:
        with self.timed():
            service.launch(**settings).wait_until_ready()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the time until a service is ready; the block ends at that moment."""
        begun = time.monotonic()
        yield
        self.outcome.ready_seconds = max(self.outcome.ready_seconds, time.monotonic() - begun)

    @contextmanager
    def readers(self, services: list[Service], inputs: list[Input], *, falls: bool = False) -> Iterator[Readers]:
        """Run readers until the context ends. Each wrong answer becomes a violation."""
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
    """A kind of fault. `run` injects `case.faults` of them and checks Daybook's totals."""

    name: str
    what: str
    full: int
    """Number of faults in a full run."""
    per_case: int
    run: Callable[[Case], None]
    must_drift: bool = False
    """True for a control. When a control counts right, the campaign proves nothing about Daybook."""


def truth(path: Path) -> Truth:
    """Return the exact totals of a file, which must not change."""
    if path not in _TRUTHS:
        _TRUTHS[path] = truth_of(path)
    return _TRUTHS[path]
