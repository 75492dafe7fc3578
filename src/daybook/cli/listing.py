"""`daybook sources`: the list, one source, and what to do with a held one."""

import csv
import sys
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from rich.table import Table
from rich.text import Text

from daybook.books import source_list
from daybook.books.exact_json import encode, exact_totals
from daybook.books.verification import all_sources
from daybook.cli.reporting import print_wide
from daybook.cli.waiting import stores_to_read
from daybook.domain.source import Source
from daybook.logs import printable
from daybook.settings import Settings
from daybook.stores.stores import Stores

_NUMBERS = ("rows", "applied", "rejected", "waiting", "deposits", "withdrawals")
_COLUMNS = ("source", "file", "state", *_NUMBERS, "since")


async def load(settings: Settings) -> list[Source]:
    """Return all sources, without the service. Raises StoreUnavailableError."""
    async with stores_to_read(settings, "daybook sources") as stores:
        return await all_sources(stores)


async def load_one(settings: Settings, name: str) -> Source:
    """Return one source. Raises UnknownSourceError, StoreUnavailableError."""
    return source_list.find_source(await load(settings), name)


async def change(settings: Settings, name: str, how: Callable[[Stores, str], Awaitable[Source]]) -> Source:
    """Release or drop a source; return it. Raises UnknownSourceError, NotHeldError, StoreUnavailableError."""
    async with stores_to_read(settings, "daybook sources") as stores:
        source = source_list.find_source(await all_sources(stores), name)
        return await how(stores, source.id)


def tell_changed(source: Source) -> None:
    """Say what became of a held source."""
    if source.held is None:
        rest = "released: a running service imports it now; without one, `daybook import` does"
    else:
        rest = "dropped: nothing is read from it; `daybook sources release` takes that back"
    _say(f"{source.shown_path}: source {source.id} is {rest}")


def print_list(sources: Sequence[Source], output: str) -> None:
    """Print sources as `table`, `json` or `csv`."""
    if output == "json":
        found = encode([_facts(each) | exact_totals(each.control_totals) for each in sources])
        sys.stdout.write(msgspec.json.format(found, indent=2).decode() + "\n")
    elif output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([_facts(each)[column] for column in _COLUMNS] for each in sources)
    elif sources:
        _print_table(sources)
    else:
        _say("nothing was imported yet")


def print_one(source: Source, output: str) -> None:
    """Print all that is known of a source, one fact a line, or as `json` or `csv`."""
    if output != "table":
        print_list([source], output)
        return
    facts = _facts(source)
    width = max(map(len, facts))
    for name, value in facts.items():
        if value not in ("", None):
            _say(f"{name.replace('_', ' '):<{width}}  {value}")


def _print_table(sources: Sequence[Source]) -> None:
    table = Table()
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in _NUMBERS else "left")
    for source in sources:
        facts = _facts(source)
        table.add_row(*(Text(printable(str(facts[column]))) for column in _COLUMNS))
    print_wide(table)
    for source in sources:
        if source.state == "held" and source.held is not None:
            _say(f"{source.id} is held: {source.held.reason}")


def _facts(source: Source) -> dict[str, str | int]:
    held, reversal = source.held, source.reverting or source.reverted
    return {
        "source": source.id,
        "file": source.shown_path,
        "state": source.state,
        "rows": source.read.rows,
        "applied": source.applied_rows,
        "rejected": source.rejected_rows,
        "waiting": source.waiting,
        **source.control_totals,
        "since": source.since,
        "size": source.size,
        "read_bytes": source.read.offset,
        "fingerprint": source.read.digest,
        "problem": source.problem,
        "held": held.reason if held else "",
        "held_since": held.at if held else "",
        "dropped": held.dropped if held else "",
        "replaces": source.replaces,
        "reverted_by": reversal.by if reversal else "",
        "reverted_at": reversal.at if reversal else "",
        "reverted_why": reversal.why if reversal else "",
        "replaced_by": reversal.replaced_by if reversal else "",
    }


def _say(text: str) -> None:
    sys.stdout.write(f"{printable(text)}\n")
