"""Prints totals by the source that added them."""

import csv
import sys
from collections.abc import Callable, Iterator
from datetime import date

from rich.table import Table
from rich.text import Text

from daybook.books.contributions import BySource, read_by_source, render
from daybook.cli.dates import Span
from daybook.cli.reporting import print_wide, spans_of
from daybook.cli.waiting import stores_to_read
from daybook.domain.money import format_units
from daybook.logs import printable
from daybook.settings import Settings

_NO_DAYS = Span(date.min, date.min)
_COLUMNS = ("date", "type", "payment_method", "source", "file", "amount", "transactions")


async def load(settings: Settings, first: date | None, last: date | None) -> BySource:
    """Read contributions from the stores, without the service. Raises StoreUnavailableError, InvalidRangeError.

    An end that is None stands for what `reporting.load_report` says.
    """
    async with stores_to_read(settings, "daybook stats") as stores:
        spans = await spans_of(stores, first, last)
        return await read_by_source(stores, *(spans[0] if spans else _NO_DAYS))


def print_table(found: BySource) -> None:
    """Print contributions as a table, and what is missing in it."""
    table = Table(*_COLUMNS[:5])
    for name in _COLUMNS[5:]:
        table.add_column(name, justify="right")
    for row in _rows(found):
        table.add_row(*(Text(printable(text)) for text in row))
    print_wide(table)
    _tell_incomplete(found)


def print_json(found: BySource) -> None:
    """Print contributions as the JSON of `/v1/aggregates/contributions`."""
    sys.stdout.write(render(found).decode() + "\n")


def print_csv(found: BySource) -> None:
    """Print contributions as CSV, one line per payment method and source."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_rows(found))
    _tell_incomplete(found)


PRINTERS: dict[str, Callable[[BySource], None]] = {"table": print_table, "json": print_json, "csv": print_csv}


def _rows(found: BySource) -> Iterator[tuple[str, ...]]:
    paths = {source.id: source.shown_path for source in found.sources}
    for day, types in found.days.items():
        for kind, methods in types.items():
            for method, cells in methods.items():
                for source, cell in cells.items():
                    amount = format_units(cell.units)
                    yield day, kind, method, source, paths.get(source, ""), amount, str(cell.transactions)


def _tell_incomplete(found: BySource) -> None:
    for source in found.sources:
        if not source.has_contributions:
            sys.stderr.write(
                f"daybook: {printable(source.shown_path or source.id)}: incomplete: some of its rows were applied "
                "while KeepContributions was off\n"
            )
