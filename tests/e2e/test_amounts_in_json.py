"""Every amount in JSON is an exact number, wherever Daybook writes it: one rule for all who read it."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import MakeService
from support.commands import JANUARY, Commands

EXACT = Decimal("1234567890123.00000001")
"""A float of 64 bits would lose its last digits."""
ROWS = f"""timestamp,type,payment_method,amount
2026-01-05,deposit,visa,{EXACT - 1000000000000}
2026-01-05,deposit,visa,999999999999.00
2026-01-05,deposit,visa,1.00
2026-01-06,withdrawal,wire,5
"""
AMOUNTS = {"amount", "deposits", "withdrawals", "old", "new"}


def amounts_in(value: Any, name: str = "") -> Iterator[Any]:
    """Yield each value that stands under the name of an amount, also below the name of a type."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from amounts_in(each, name if name in {"deposits", "withdrawals"} and name else key)
    elif isinstance(value, list):
        for each in value:
            yield from amounts_in(each, name)
    elif name in AMOUNTS and not isinstance(value, bool | None):
        yield value


@pytest.fixture
def imported(daybook: Commands, make_service: MakeService, tmp_path: Path) -> dict[str, str]:
    """Return every JSON with amounts, by the question."""
    file = tmp_path / "few.csv"
    file.write_text(ROWS)
    daybook.run("import", file)
    found = {
        "stats": daybook.run("stats", *JANUARY, "--format", "json").output,
        "stats by source": daybook.run("stats", *JANUARY, "--by", "source", "--format", "json").output,
        "sources": daybook.run("sources", "--format", "json").output,
    }
    service = make_service(DataDir=daybook.data_dir).start()
    for path in (
        "/stats?from_date=2026-01-01&to_date=2026-01-31",
        "/v1/aggregates?from_date=2026-01-01&to_date=2026-01-31",
        "/v1/imports",
        "/v1/reconcile",
    ):
        found[path] = service.get(path).text
    (source,) = service.imports()
    posted = service.post(f"/v1/imports/{source['source']}/revert", {"by": "me", "why": "a test"})
    assert posted.status_code in {200, 202}, posted.text
    found["revert"] = posted.text
    return found


def test_amounts_are_exact_numbers_everywhere(imported: dict[str, str]) -> None:
    for question, text in imported.items():
        amounts = list(amounts_in(json.loads(text, parse_float=Decimal)))
        assert EXACT in amounts, f"{question}: {text}"
        assert [each for each in amounts if not isinstance(each, Decimal | int)] == [], f"{question}: {text}"
