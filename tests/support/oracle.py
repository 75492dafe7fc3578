"""Sums up a file in the plainest way: one row after the other, with `csv`, `re` and `Decimal`.

It knows Daybook's contract and uses none of its code.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

COLUMNS = ["timestamp", "type", "payment_method", "amount", "sleep_ms"]
TYPES = {"deposit": "deposits", "withdrawal": "withdrawals"}

Data = dict[str, dict[str, dict[str, Decimal]]]
"""Day → `deposits`/`withdrawals` → payment method → amount, both types for each day; the `data` of `/stats`."""


@dataclass
class Truth:
    """The exact totals and rejects of one file, or of several together."""

    data: Data = field(default_factory=dict)
    rows: int = 0
    rejects: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Line number → raw text and the wrong field."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Day, `deposits` or `withdrawals`, and method → number of valid rows."""
    course: list[dict[str, Decimal]] = field(default_factory=lambda: [dict.fromkeys(TYPES.values(), Decimal(0))])
    """The sums of `deposits` and `withdrawals` after each number of valid rows, in the file's order."""

    @property
    def applied(self) -> int:
        return self.rows - len(self.rejects)

    def add(self, day: str, kind: str, method: str, amount: Decimal) -> None:
        methods = self.data.setdefault(day, {each: {} for each in TYPES.values()})[kind]
        methods[method] = methods.get(method, Decimal(0)) + amount
        self.counts[day, kind, method] += 1
        self.course.append(self.course[-1] | {kind: self.course[-1][kind] + amount})

    def total(self, kind: str) -> Decimal:
        return sum((sum(types[kind].values(), Decimal(0)) for types in self.data.values()), Decimal(0))


def truth_of(path: Path) -> Truth:
    """Return the truth of a plain file with the header of the sample files and one record per line."""
    truth = Truth()
    lines = path.read_bytes().split(b"\n")
    assert lines[0].decode().split(",") == COLUMNS
    assert lines.pop() == b"", "the last line has no end"
    for number, line in enumerate(lines[1:], 2):
        truth.rows += 1
        wrong = _add(truth, line)
        if wrong:
            truth.rejects[number] = (line.decode("utf-8", "backslashreplace"), wrong)
    return truth


def _add(truth: Truth, line: bytes) -> str:
    try:
        fields = next(csv.reader([line.decode()]))
    except UnicodeDecodeError:
        return "UTF-8"
    if len(fields) != len(COLUMNS):
        return "fields"
    timestamp, kind, method, amount, _ = (each.strip(" ") for each in fields)
    kind = re.sub("^(deposit|withdrawal)s?$", r"\1", kind.lower())
    try:
        day = datetime.fromisoformat(timestamp).date().isoformat()
    except ValueError:
        return "timestamp"
    if kind not in TYPES:
        return "type"
    if re.fullmatch(r"[\w +&-]{1,64}", method) is None:
        return "payment method"
    if re.fullmatch(r"\+?([0-9]+(\.[0-9]{1,8})?|\.[0-9]{1,8})", amount) is None or not 0 < Decimal(amount) < 10**12:
        return "amount"
    truth.add(day, TYPES[kind], method, Decimal(amount))
    return ""


def merged(truths: Iterable[Truth]) -> Data:
    """Return the totals of several files together."""
    whole = Truth()
    for truth in truths:
        for day, types in truth.data.items():
            for kind, methods in types.items():
                for method, amount in methods.items():
                    whole.add(day, kind, method, amount)
    return whole.data
