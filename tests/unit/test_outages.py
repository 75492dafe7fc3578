"""An outage is one line, with reminders at growing intervals, and one line when it is over."""

from typing import Any

from daybook.runtime.outages import Outage


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, event: str, **facts: Any) -> None:
        self.lines.append(f"{event} {facts.get('for_seconds', 0)}")

    def info(self, event: str, **facts: Any) -> None:
        self.lines.append(f"{event} {facts['after_seconds']:g}")


def test_reminders_come_at_growing_intervals() -> None:
    log, now = Log(), 0.0
    outage = Outage(log, "over", clock=lambda: now)
    outage.over()
    for second in range(3 * 3600):
        now = float(second)
        outage.goes_on("Redis", "away")
    outage.over()
    outage.over()
    assert log.lines == [
        *("away 0", "away 60", "away 180", "away 420", "away 900", "away 1860", "away 3780", "away 7380"),
        "over 10799",
    ]


def test_another_cause_is_another_line() -> None:
    log = Log()
    outage = Outage(log, "over", clock=lambda: 5.0)
    for kind in ("Redis", "Redis", "MongoDB", "MongoDB"):
        outage.goes_on(kind, kind)
    assert log.lines == ["Redis 0", "MongoDB 0"]
