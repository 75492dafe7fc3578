"""Prints totals."""

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby

from rich.console import Console
from rich.table import Table

from daybook.books.totals import Days, read_totals, render
from daybook.cli.dates import Span, month_of
from daybook.cli.waiting import stores_to_read
from daybook.domain.bucket import FIRST_DAY, LAST_DAY, TYPES, Cell
from daybook.domain.money import format_units
from daybook.settings import Settings
from daybook.stores.stores import Stores

_WIDEST = 1000
"""Number of terminal columns, larger than any table needs."""
_COLUMNS = ("date", "type", "payment_method", "amount", "transactions")
_RUNS_NAMED = 3
"""Largest number of runs of days that a message names."""


@dataclass
class Report:
    """The totals of a range of days."""

    first: date
    last: date
    days: Days
    known: list[str] = field(default_factory=list)
    """All days that have totals, in order, if `days` is empty."""
    currency: str = ""
    """Code of the currency of the amounts; empty when none is set."""


async def load_report(settings: Settings, first: date | None, last: date | None) -> Report | None:
    """Read the totals from the stores, without the service. Raises StoreUnavailableError, InvalidRangeError.

    An end that is None stands for the first or the last day that has totals. Without both ends the range is the last
    month that has any. Returns None when an end is None and there are no totals at all.
    """
    async with stores_to_read(settings, "daybook stats") as stores:
        if await stores.hot.state() is None and not await stores.archive.sources():
            return Report(first, last, {}) if first and last else None
        currency = settings.currency or ""
        for span in await spans_of(stores, first, last):
            days = await read_totals(stores, *span)
            if days or first or last:
                return Report(*span, days, [] if days else await _known_days(stores), currency)
        return None


async def spans_of(stores: Stores, first: date | None, last: date | None) -> list[Span]:
    """Return the ranges that the ends may stand for, as `load_report` says, the likeliest first."""
    return list(_spans(first, last, [] if first and last else await _known_days(stores)))


def _spans(first: date | None, last: date | None, known: Sequence[str]) -> Iterator[Span]:
    if first and last:
        yield Span(first, last)
    elif first is None and last is None:
        months = dict.fromkeys(month_of(date.fromisoformat(day)) for day in reversed(known))
        yield from months
    elif known:
        begin, end = (date.fromisoformat(known[place]) for place in (0, -1))
        yield Span(first, max(first, end)) if first else Span(min(last or begin, begin), last or end)


async def _known_days(stores: Stores) -> list[str]:
    """Return all days that a store holds, in order."""
    evicted = await stores.evicted.days()
    if evicted is None:
        evicted = [bucket.day async for bucket in stores.archive.buckets()]
    return sorted({bucket.day for bucket in await stores.hot.resident(FIRST_DAY, LAST_DAY)} | set(evicted))


def print_report(report: Report | None, output: str) -> None:
    """Print totals as a `table`, as `json` or as `csv`; say on standard error when there are none."""
    days = report.days if report else {}
    if not days:
        where = f" from {report.first} to {report.last}" if report else ""
        known = f"; there are some on {_runs(report.known)}" if report and report.known else ""
        sys.stderr.write(f"daybook: no transactions{where}{known}\n")
    if output == "json":
        _print_json(days)
    elif output == "csv":
        _print_csv(days, report.currency if report else "")
    elif report and days:
        _print_table(report)


def _runs(days: Sequence[str]) -> str:
    """Name days as runs, `2026-01-01 to 2026-01-31, 2026-03-05`."""
    numbers = [date.fromisoformat(day).toordinal() for day in days]
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda place: place[1] - place[0])]
    if len(runs) > _RUNS_NAMED:
        return f"{len(days):,} days from {days[0]} to {days[-1]}"
    names = [[date.fromordinal(run[end]).isoformat() for end in (0, -1)] for run in runs]
    return ", ".join(first if first == last else f"{first} to {last}" for first, last in names)


def _print_table(report: Report) -> None:
    """Print totals as a table, in a terminal with thousands separators and no wider than it."""
    console = Console()
    shown = _with_separators if console.is_terminal else str
    unit = f" in {report.currency}" if report.currency else ""
    sys.stdout.write(f"totals from {report.first} to {report.last}{unit}\n")
    table = Table(*_COLUMNS[:3])
    table.add_column("amount", justify="right")
    table.add_column("transactions", justify="right")
    for *names, amount, transactions in _rows(report.days):
        table.add_row(*names, shown(amount), shown(transactions))
    table.add_section()
    for name, kind, cell in _sums(report.days):
        table.add_row(name, kind, "", shown(format_units(cell.units)), shown(str(cell.transactions)))
    if console.is_terminal and width_of(console, table) > console.width:
        table = _narrow_table(report.days, shown)
    print_wide(table)


def _narrow_table(days: Days, shown: Callable[[str], str]) -> Table:
    """Return the totals with a line for each day and type, and its payment methods below."""
    table = Table("", box=None, pad_edge=False)
    table.add_column("amount", justify="right")
    table.add_column("count", justify="right")
    for (day, kind), rows in groupby(_rows(days), lambda row: row[:2]):
        table.add_row(f"{day} {kind}", "", "")
        for _, _, method, amount, transactions in rows:
            table.add_row(f"  {method}", shown(amount), shown(transactions))
    for name, kind, cell in _sums(days):
        table.add_row(f"{name} {kind}", shown(format_units(cell.units)), shown(str(cell.transactions)))
    return table


def _sums(days: Days) -> Iterator[tuple[str, str, Cell]]:
    """Yield the sum of each type and the net amount, deposits less withdrawals."""
    sums = []
    for kind in TYPES:
        cells = [cell for types in days.values() for cell in types[kind].values()]
        sums.append(Cell(sum(cell.units for cell in cells), sum(cell.transactions for cell in cells)))
        yield "total", kind, sums[-1]
    deposits, withdrawals = sums
    yield "net", "", Cell(deposits.units - withdrawals.units, deposits.transactions + withdrawals.transactions)


def _with_separators(number: str) -> str:
    whole, point, fraction = number.partition(".")
    return f"{int(whole):,}{point}{fraction}" if whole not in ("-0", "0") else number


def width_of(console: Console, table: Table) -> int:
    """Return the number of columns that a table takes when nothing is cut."""
    return console.measure(table, options=console.options.update(width=_WIDEST)).maximum


def print_wide(table: Table) -> None:
    """Print a table in full width, so that a narrow terminal never cuts a number."""
    console = Console()
    console.width = max(console.width, width_of(console, table))
    console.print(table)


def _print_json(days: Days) -> None:
    """Print totals as the JSON of `/stats`."""
    sys.stdout.write(render(days).decode() + "\n")


def _print_csv(days: Days, currency: str) -> None:
    """Print totals as CSV, one line per payment method, with a column for the currency if one is set."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow((*_COLUMNS, "currency") if currency else _COLUMNS)
    writer.writerows((*row, currency) if currency else row for row in _rows(days))


def _rows(days: Days) -> Iterator[tuple[str, ...]]:
    for day, types in days.items():
        for kind, cells in types.items():
            for method in sorted(cells):
                cell = cells[method]
                yield day, kind, method, format_units(cell.units), str(cell.transactions)
