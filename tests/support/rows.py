"""Rows for a test, a file that holds them, and their sums, computed in the plainest way."""

import random
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

HEADER = "timestamp,type,payment_method,amount\n"


class Row(NamedTuple):
    day: str
    type: str
    method: str
    amount: Decimal

    def csv(self) -> str:
        return f"{self.day}T12:00:00,{self.type},{self.method},{self.amount}\n"

    def json(self) -> str:
        return (
            f'{{"Timestamp":"{self.day}T12:00:00","Type":"{self.type}",'
            f'"PaymentMethod":"{self.method}","Amount":{self.amount}}}'
        )


Sums = dict[tuple[str, str, str], tuple[Decimal, int]]
"""Day, type and method → amount and number of rows."""


def sums_of(rows: Iterable[Row]) -> Sums:
    sums: Sums = {}
    for row in rows:
        key = row.day, f"{row.type}s", row.method
        amount, number = sums.get(key, (Decimal(0), 0))
        sums[key] = amount + row.amount, number + 1
    return sums


def some_rows(seed: int, number: int, days: int = 6) -> list[Row]:
    """Return random rows; the same seed gives the same rows. Their days are long past, so that they may be evicted."""
    chance = random.Random(seed)
    return [
        Row(
            f"2001-01-{chance.randint(1, days):02d}",
            chance.choice(["deposit", "withdrawal"]),
            chance.choice(["visa", "wire", "paypal"]),
            Decimal(chance.randint(1, 10**7)).scaleb(-chance.randint(0, 4)),
        )
        for _ in range(number)
    ]


def write(path: Path, rows: Iterable[Row]) -> Path:
    path.write_text(HEADER + "".join(row.csv() for row in rows))
    return path
