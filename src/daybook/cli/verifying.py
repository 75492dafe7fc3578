"""`daybook verify`: recomputes files and compares them with both stores."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec import structs
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from daybook.books.rejects import Rejects
from daybook.books.verification import (
    Difference,
    Verdict,
    compare_buckets,
    compare_contributions,
    compare_source,
    read_accounts,
)
from daybook.cli.progress import WaitingProgress
from daybook.cli.reporting import print_wide, width_of
from daybook.cli.waiting import Waits, stores_to_read
from daybook.domain.source import Source
from daybook.errors import SourceError
from daybook.logs import printable
from daybook.settings import Settings
from daybook.sources.files import locate
from daybook.sources.identity import identify
from daybook.sources.recount import Recount, recount
from daybook.stores.stores import Stores

_COLUMNS = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    TextColumn("{task.percentage:>3.0f}%"),
    TimeRemainingColumn(),
)


class _Verified(NamedTuple):
    source: Source
    found: Recount


async def verify(settings: Settings, files: Sequence[Path]) -> bool:
    """Compare files with the stores and print every difference; return True when there is none.

    Without `files`, compare the files of all sources that still exist. Raises SourceError for a file that does not
    exist, StoreUnavailableError when a store is away.
    """
    paths = [path for file in files for path in locate(str(file))]
    waits = Waits()
    async with stores_to_read(settings, "daybook verify", waits) as stores:
        accounts = await read_accounts(stores)
        chosen, verdict = await asyncio.to_thread(_choose, paths, accounts.sources)
        verified = []
        with WaitingProgress(waits, *_COLUMNS, transient=True) as progress:
            for source in chosen:
                task = progress.add_task(printable(Path(source.path).name), total=source.applied.offset)
                recorded = await _recorded_rejects(stores, source)
                on_bytes = partial(progress.update, task)
                try:
                    found = await _recount(source, recorded, on_bytes)
                except SourceError as error:
                    verdict.differences.append(Difference(source.shown_path, str(error), "", "", ""))
                    continue
                verified.append(_Verified(source, found))
                verdict.differences += compare_source(source, found, recorded, accounts)
    known = {source.id for source, _ in verified}
    others = [source for source in accounts.sources if source.id not in known and source.applied_rows]
    buckets = compare_buckets([found for _, found in verified], others, accounts)
    for further in (buckets, compare_contributions(accounts)):
        verdict.differences += further.differences
        verdict.notes += further.notes
    _print(verified, verdict)
    return not verdict.differences


async def _recount(source: Source, recorded: Mapping[int, str], show: Callable[..., None]) -> Recount:
    """Recompute a source's file in a thread. The thread ends soon after a cancellation."""
    is_wanted = True

    def on_bytes(done: int) -> None:
        if not is_wanted:
            raise SourceError(f"{source.path}: no longer wanted")
        show(completed=done)

    try:
        again = partial(recount, Path(source.path), source.applied.offset, recorded, on_bytes, profile=source.profile)
        return await asyncio.to_thread(again)
    finally:
        is_wanted = False


def _choose(paths: Sequence[Path], known: Sequence[Source]) -> tuple[list[Source], Verdict]:
    """Return the sources to recompute, each with the path to read it from."""
    verdict = Verdict()
    reverted = [source for source in known if source.path and source.reverted]
    files = [source for source in known if source.path and not source.reverted]
    verdict.notes += [f"{each.shown_path}: source {each.id} is reverted: it counts nothing" for each in reverted]
    if not paths:
        return _still_there(files, verdict), verdict
    chosen: dict[str, Source] = {}
    for path in paths:
        source = identify(path, files).source
        if source is None and identify(path, reverted).source is not None:
            continue
        if source is None:
            verdict.differences.append(Difference(str(path), "source", "exists", "never imported", "never imported"))
        else:
            chosen[source.id] = structs.replace(source, path=str(path))
    return list(chosen.values()), verdict


def _still_there(files: Sequence[Source], verdict: Verdict) -> list[Source]:
    """Return a source for each path that exists: the source of its content, else the last source of its name."""
    chosen: list[Source] = []
    for path in dict.fromkeys(source.path for source in files):
        if not Path(path).exists():
            continue
        own = [source for source in files if source.path == path]
        there = _identified(path, files)
        if there is None or there in own:
            chosen.append(there or own[-1])
        for source in own:
            if source not in chosen:
                verdict.notes.append(f"{source.shown_path}: another file now: source {source.id} is not recomputed")
    return chosen


def _identified(path: str, files: Sequence[Source]) -> Source | None:
    try:
        return identify(Path(path), files).source
    except SourceError:
        return None


async def _recorded_rejects(stores: Stores, source: Source) -> dict[int, str]:
    """Return the reason of each rejected line."""
    pages = Rejects(stores).pages(source.id)
    return {each.reject.line: each.reject.reason async for page in pages for each in page}


def _print(verified: Sequence[_Verified], verdict: Verdict) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for source, found in verified:
        rejected = found.rows - found.applied
        console.print(
            f"{printable(source.path)}: recomputed: {found.rows} rows = {found.applied} applied + {rejected} rejected",
            markup=False,
        )
        if found.offset < source.size:
            console.print(f"  read to byte {found.offset} of {source.size}: the rest is not applied yet", markup=False)
        if found.refused:
            console.print(f"  {found.refused} of the rejected rows break no rule by themselves", markup=False)
    for note in verdict.notes:
        console.print(printable(note), markup=False)
    if not verdict.differences:
        same = "no difference: the stores hold exactly what the files hold"
        console.print(same if verified or verdict.notes else "nothing was imported yet, and the stores hold nothing")
        return
    _print_differences(verdict.differences)
    number = len(verdict.differences)
    console.print(f"{number} difference{'s' if number > 1 else ''}")


def _print_differences(differences: Sequence[Difference]) -> None:
    """Print differences as a table, or one below the other where the terminal is too narrow for it."""
    names = ("where", "what", "files", "Redis", "archive")
    table = Table(*names)
    for difference in differences:
        table.add_row(*(Text(printable(text)) for text in difference))
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal or width_of(console, table) <= console.width:
        print_wide(table)
        return
    for difference in differences:
        console.print(printable(f"{difference.where}: {difference.what}"))
        for name, text in zip(names[2:], difference[2:], strict=True):
            if text:
                console.print(f"  {name:<8} {printable(text)}")
