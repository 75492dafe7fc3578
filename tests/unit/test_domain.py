"""The rules on fields, form by form."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.clock import cutoff_day
from daybook.domain.money import (
    format_units,
    parse_amount,
    parse_number,
    parse_total,
    to_decimal,
    units_of_sum,
)
from daybook.domain.restatement import Restatement
from daybook.domain.transaction import check_payment_method, parse_day, parse_type


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("1", 10**8),
        ("1687.86", 168786000000),
        ("0.00000001", 1),
        ("999999999999.99999999", 10**20 - 1),
        ("007.50", 750000000),
    ],
)
def test_amounts(text: str, units: int) -> None:
    assert parse_amount(text) == units


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-1", "above 0"),
        ("0", "above 0"),
        ("0.00000000", "above 0"),
        ("1e5", "plain decimal"),
        ("NaN", "plain decimal"),
        ("inf", "plain decimal"),
        ("", "plain decimal"),
        (" 1", "plain decimal"),
        ("+1", "plain decimal"),
        ("1.", "plain decimal"),
        (".5", "plain decimal"),
        ("1,5", "plain decimal"),
        ("1_000", "plain decimal"),
        ("٣", "plain decimal"),
        ("1.123456789", "8 decimals"),
        ("1000000000000", "below 10^12"),
        ("9" * 5000, "plain decimal"),
    ],
)
def test_bad_amounts(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("^", r"\^")):
        parse_amount(text)


@pytest.mark.parametrize(
    ("text", "units"),
    [("1e2", 10**10), ("1.5E-7", 15), ("12e-1", 120000000), ("1E-8", 1), ("9.9e11", 99 * 10**18)],
)
def test_json_exponents_mean_the_decimal_they_denote(text: str, units: int) -> None:
    assert parse_number(text) == units


@pytest.mark.parametrize(
    "text", ["1e12", "1e-9", "0e5", "-1e2", "1e999999999", "1e-999999999", "1.5e-8", "1e99999999999999999999"]
)
def test_bad_json_exponents(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_number(text)


@given(st.integers(-(10**40), 10**40))
def test_totals_round_trip(units: int) -> None:
    assert parse_total(format_units(units)) == units
    if abs(units) < 10**38:
        assert units_of_sum(to_decimal(units)) == units
        assert Decimal(format_units(units)) == to_decimal(units)


@pytest.mark.parametrize(
    ("units", "text"),
    [(5276385000000, "52763.85"), (1, "0.00000001"), (1633070000000, "16330.70"), (0, "0.00")],
)
def test_totals_are_shown_exactly(units: int, text: str) -> None:
    assert format_units(units) == text


@pytest.mark.parametrize(
    ("timestamp", "day"),
    [
        ("2026-01-15T10:30:00", "2026-01-15"),
        ("2026-01-15 10:30", "2026-01-15"),
        ("2026-01-15T23:30:00-01:00", "2026-01-16"),
        ("2026-01-15T00:30:00.123456+01:00", "2026-01-14"),
        ("2026-01-15T10:30:00Z", "2026-01-15"),
        ("2026-01-15", "2026-01-15"),
        ("20260115T103000", "2026-01-15"),
        ("0001-01-01T00:00:00", "0001-01-01"),
        ("9999-12-31T23:59:59", "9999-12-31"),
    ],
)
def test_days(timestamp: str, day: str) -> None:
    assert parse_day(timestamp) == day


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-02-30T00:00:00",
        "2026-13-01T00:00:00",
        "2026-01-15T24:00:00",
        "2026-01-15T10:60:00",
        "2026-01-15x10:30:00",
        "2026-W03-4",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "١٢٣٤-01-01",
        "",
        "yesterday",
        "1767225600",
    ],
)
def test_bad_timestamps(timestamp: str) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        parse_day(timestamp)


@pytest.mark.parametrize("method", ["paypal", "überweisung", "現金", "a b_c-d+e&f", "7", "x" * 64, "हिन्दी"])
def test_payment_methods(method: str) -> None:
    assert check_payment_method(method) == method


@pytest.mark.parametrize("method", ["", "x" * 65, "a.b", "$set", "a\tb", "a\nb", "a\x00", "a/b", "\u0301a"])
def test_bad_payment_methods(method: str) -> None:
    with pytest.raises(ValueError, match="payment method"):
        check_payment_method(method)


@pytest.mark.parametrize("text", ["Deposit", "deposits", "", "transfer", " deposit"])
def test_bad_types(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        parse_type(text)


def test_the_cutoff_is_computed_on_moments() -> None:
    moment = datetime(2026, 1, 8, 0, 30, tzinfo=UTC)
    assert cutoff_day(moment, timedelta(days=7)) == "2026-01-01"
    assert cutoff_day(moment, timedelta(days=7, minutes=31)) == "2025-12-31"
    assert cutoff_day(moment, timedelta(days=3_660_000)) == "0001-01-01"


def test_restatements_of_a_version_sort_as_they_were_applied() -> None:
    steps = [0, 9, 10, 9_999, 10_000, 15_999]  # a commit takes 16,000 elements, each of which may be of its own source
    keys = [
        Restatement("2026-01-01", "deposits", 2, step, "source", 0, 9, "later", "earlier", {}).key for step in steps
    ]
    assert sorted(keys) == keys
