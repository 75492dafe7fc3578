"""Compares files with the stores, to the row and the cent."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from daybook.books.contributed_months import NOTHING, accounts_by_source, ledger_of
from daybook.domain.bucket import FIRST_DAY, LAST_DAY, TYPES, Bucket, BucketState, Cell, Cells, Sums, add_cells
from daybook.domain.money import format_units, parse_total
from daybook.domain.source import Source
from daybook.errors import StoreUnavailableError
from daybook.sources.contributions import Account
from daybook.sources.recount import Recount
from daybook.stores.steady import read_steadily
from daybook.stores.stores import Stores

_NOTHING = Cell(0, 0)
_TRIES, _PAUSE_SECONDS = 20, 0.25


class Difference(NamedTuple):
    """One disagreement, as text for people. A text is empty where there is nothing to compare."""

    where: str
    """A file, or a day, type and payment method."""
    what: str
    """Name of the compared value."""
    files: str
    redis: str
    archive: str


class Accounts(NamedTuple):
    """The sources and buckets of both stores at one moment."""

    sources: list[Source]
    """All sources, `queue` included."""
    archived_sources: Mapping[str, Source]
    hot: Mapping[Bucket, BucketState]
    archived: Mapping[Bucket, BucketState]
    contributions: Mapping[str, Account]
    """The sums of the contributions, by source."""


async def read_accounts(stores: Stores) -> Accounts:
    """Read all that the stores hold at one moment.

    Reads again when rows were applied meanwhile. Raises StoreUnavailableError when that happens 20 times in a row.
    """

    async def read() -> Accounts:
        sources, hot = await all_sources(stores), await _resident(stores)
        buckets = {bucket: held.state async for bucket, held in stores.archive.days(FIRST_DAY, LAST_DAY)}
        archived = {held.source.id: held.source for held in await stores.archive.sources()}
        return Accounts(sources, archived, hot, buckets, await accounts_by_source(stores))

    reading = await read_steadily(stores.hot.state, read, tries=_TRIES, pause_seconds=_PAUSE_SECONDS)
    if not reading.steady:
        raise StoreUnavailableError("rows are being applied: try again when the imports have ended")
    return reading.value


async def all_sources(stores: Stores) -> list[Source]:
    """Return all sources in the order in which they were registered; from the archive while Redis is empty."""
    if await stores.hot.state() is None:
        return sorted((held.source for held in await stores.archive.sources()), key=lambda source: source.order)
    return await stores.sources.all()


async def _resident(stores: Stores) -> dict[Bucket, BucketState]:
    if await stores.hot.state() is None:
        return {}
    found = await stores.hot.read(await stores.hot.resident(FIRST_DAY, LAST_DAY))
    return {bucket: held.state for bucket, held in found.items()}


@dataclass
class Verdict:
    """The outcome of a comparison: differences, and notes for people."""

    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare_source(
    source: Source, found: Recount, recorded: Mapping[int, str], accounts: Accounts
) -> Iterator[Difference]:
    """Yield the differences between a file's rows and its source in the stores.

    `recorded` holds the source's rejects: line → reason.
    """
    archived = accounts.archived_sources.get(source.id)
    if archived is not None and archived.applied.offset != source.applied.offset:
        archived = None  # the next dump writes it
    from_file = {
        "content (SHA-256)": found.digest,
        "rows": str(found.rows),
        "applied rows": str(found.applied),
        **{f"all {kind}": format_units(found.total(kind)) for kind in TYPES},
    }
    redis, archive = _account(source), _account(archived) if archived else {}
    for what, text in from_file.items():
        if {redis[what], archive.get(what, text)} != {text}:
            yield Difference(source.shown_path, what, text, redis[what], archive.get(what, ""))
    for line in sorted(found.invalid_lines - recorded.keys()):
        yield Difference(source.shown_path, f"line {line} breaks a rule", "rejected", "no reject", "no reject")


def _account(source: Source) -> dict[str, str]:
    return {
        "content (SHA-256)": source.applied.digest,
        "rows": str(source.applied.rows),
        "applied rows": str(source.applied_rows),
        **{f"all {kind}": total for kind, total in source.control_totals.items()},
    }


def compare_contributions(accounts: Accounts) -> Verdict:
    """Compare the contributions of each source with its ledger, where they are complete."""
    verdict = Verdict()
    incomplete = 0
    for source in accounts.sources:
        found, ledger = accounts.contributions.get(source.id, NOTHING), ledger_of(source)
        if not source.has_contributions:
            incomplete += 1
        elif found != ledger:
            verdict.differences.append(
                Difference(_name(source), "contributions", "", _account_text(ledger), _account_text(found))
            )
    if incomplete:
        have = "source has" if incomplete == 1 else "sources have"
        verdict.notes.append(
            f"{incomplete} {have} incomplete contributions: KeepContributions was off when rows were applied"
        )
    return verdict


def _account_text(account: Account) -> str:
    sums = ", ".join(f"{kind} {format_units(units)}" for kind, units in account.units.items())
    return f"{sums} ({account.transactions})"


def compare_buckets(verified: Iterable[Recount], others: Iterable[Source], accounts: Accounts) -> Verdict:
    """Compare the sums of the verified files with the buckets. `others` are the sources without a verified file."""
    expected: Sums = {}
    for found in verified:
        for bucket, cells in found.sums.items():
            add_cells(expected, bucket, cells.items())
    verdict = Verdict()
    waits = 0
    rest_units, rest_transactions = dict.fromkeys(TYPES, 0), 0
    unexplained = sum(source.applied_rows for source in others)
    for bucket in sorted(expected.keys() | accounts.hot.keys() | accounts.archived.keys()):
        hot, archived = accounts.hot.get(bucket), accounts.archived.get(bucket)
        if hot is not None and hot.is_ahead_of(archived):
            archived, waits = None, waits + 1
        for method, from_files, redis, archive in _cells(expected.get(bucket, {}), hot, archived):
            stored = [each for each in (redis, archive) if each is not None] or [_NOTHING]
            rest = Cell(stored[0].units - from_files.units, stored[0].transactions - from_files.transactions)
            rest_units[bucket.type] += rest.units
            rest_transactions += rest.transactions
            explained = min(rest) >= 0 if unexplained else rest == _NOTHING
            if not explained or stored[0] != stored[-1]:
                verdict.differences.append(
                    Difference(" ".join((*bucket, method)), "total", *map(_text, (from_files, redis, archive)))
                )
    if waits:
        verdict.notes.append(f"{waits} buckets are newer in Redis than in the archive: the next dump writes them")
    if unexplained:
        verdict.differences += _compare_rest(rest_units, rest_transactions, list(others))
        verdict.notes.append(
            f"{unexplained} transactions of other sources were not recomputed: {', '.join(map(_name, others))}"
        )
    return verdict


def _cells(
    expected: Cells, hot: BucketState | None, archived: BucketState | None
) -> Iterator[tuple[str, Cell, Cell | None, Cell | None]]:
    """Yield each payment method with its cell in the files, in Redis and in the archive.

    A cell is None when the store does not hold the bucket or is not to be compared.
    """
    redis, archive = (held.cells if held else None for held in (hot, archived))
    for method in sorted({*expected, *(redis or {}), *(archive or {})}):
        yield (
            method,
            expected.get(method, _NOTHING),
            None if redis is None else redis.get(method, _NOTHING),
            None if archive is None else archive.get(method, _NOTHING),
        )


def _compare_rest(units: Mapping[str, int], transactions: int, others: list[Source]) -> Iterator[Difference]:
    """Compare the totals that the verified files do not explain with those of the other sources."""
    name = "all rows outside the files"
    applied = sum(source.applied_rows for source in others)
    if transactions != applied:
        yield Difference(name, "transactions", str(applied), str(transactions), "")
    for kind in TYPES:
        total = sum(parse_total(source.control_totals[kind]) for source in others)
        if units[kind] != total:
            yield Difference(name, kind, format_units(total), format_units(units[kind]), "")


def _name(source: Source) -> str:
    return source.shown_path or "other producers"


def _text(cell: Cell | None) -> str:
    return "" if cell is None else f"{format_units(cell.units)} ({cell.transactions})"
