"""Prints totals."""

import csv
import sys
from collections.abc import Callable, Iterator
from datetime import date

from rich.console import Console
from rich.table import Table

from daybook.books.totals import Days, read_totals, render
from daybook.cli.waiting import stores_to_read
from daybook.domain.money import format_units
from daybook.settings import Settings

_WIDEST = 1000
"""Number of terminal columns, larger than any table needs."""
_COLUMNS = ("date", "type", "payment_method", "amount", "transactions")


async def load_days(settings: Settings, first: date, last: date) -> Days:
    """Read the totals from the stores, without the service. Raises StoreUnavailableError, InvalidRangeError."""
    async with stores_to_read(settings, "daybook stats") as stores:
        if await stores.hot.state() is None and not await stores.archive.sources():
            return {}
        return await read_totals(stores, first, last)


def print_table(days: Days) -> None:
    """Print totals as a table."""
    table = Table(*_COLUMNS[:3])
    table.add_column("amount", justify="right")
    table.add_column("transactions", justify="right")
    for row in _rows(days):
        table.add_row(*row)
    print_wide(table)


def print_wide(table: Table) -> None:
    """Print a table in full width, so that a narrow terminal never cuts a number."""
    console = Console()
    unbounded = console.options.update(width=_WIDEST)
    console.width = max(console.width, console.measure(table, options=unbounded).maximum)
    console.print(table)


def print_json(days: Days) -> None:
    """Print totals as the JSON of `/stats`."""
    sys.stdout.write(render(days).decode() + "\n")


def print_csv(days: Days) -> None:
    """Print totals as CSV, one line per payment method."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_rows(days))


PRINTERS: dict[str, Callable[[Days], None]] = {"table": print_table, "json": print_json, "csv": print_csv}


def _rows(days: Days) -> Iterator[tuple[str, ...]]:
    for day, types in days.items():
        for kind, cells in types.items():
            for method in sorted(cells):
                cell = cells[method]
                yield day, kind, method, format_units(cell.units), str(cell.transactions)
