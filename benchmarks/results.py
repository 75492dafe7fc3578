"""The results of a run."""

from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.measure import Spread


class Speed(NamedTuple):
    """One system in the comparison."""

    name: str
    keeps: str
    """The part of the answer that survives, in a few words."""
    rate: Spread
    """Rows a second."""
    seconds: Spread
    memory: str
    exact: str
    """`yes`, or the errors."""
    rows: int
    ours: bool
    share: Spread
    """Daybook's rate divided by this system's, round by round."""


class Finding(NamedTuple):
    """One line of the list of targets."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    """None without a target or a measurement."""


@dataclass
class Results:
    speeds: list[Speed] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Reasons why systems could not be measured, by name."""
    findings: list[Finding] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the other systems, by name."""
    problems: list[str] = field(default_factory=list)
    """Parts that failed."""

    def add(self, what: str, measured: str, target: str = "", *, met: bool | None = None) -> None:
        self.findings.append(Finding(what, measured, target, met))
