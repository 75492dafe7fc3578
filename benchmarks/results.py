"""What a run finds out."""

from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.measure import Spread


class Speed(NamedTuple):
    """One system in the comparison."""

    name: str
    keeps: str
    """What of the answer survives, in a few words."""
    rate: Spread
    """Rows a second."""
    seconds: Spread
    memory: str
    exact: str
    """`yes`, or what is wrong."""
    rows: int
    ours: bool
    share: Spread
    """Daybook's rate by this one's, round by round."""


class Finding(NamedTuple):
    """One line of the list of targets."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    """None: there is no target, or it was not measured."""


@dataclass
class Results:
    speeds: list[Speed] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Systems that could not be measured, and why."""
    findings: list[Finding] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    """Of the other systems."""
    problems: list[str] = field(default_factory=list)
    """Parts that failed."""

    def add(self, what: str, measured: str, target: str = "", *, met: bool | None = None) -> None:
        self.findings.append(Finding(what, measured, target, met))
