"""The outcome of an import for each file: its rows, where it was interrupted, and why rows are rejected."""

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from daybook.books.rejects import Rejects
from daybook.cli.asking import held_line
from daybook.cli.exits import Exit
from daybook.domain.reject import Reject
from daybook.domain.source import Source
from daybook.errors import StoreUnavailableError
from daybook.logs import printable
from daybook.stores.stores import Stores

_MANY = 0.1
"""Share of rejected rows above which an import does not end with 0."""
_REASONS = 3
_EXPLAINED = 10_000
"""Number of rejects of a file of which the reasons are counted."""
_EXAMPLE_CHARACTERS = 100


@dataclass
class OpenRejects:
    """The rejects of a source that no correction replaces: how many by reason, and the first of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Reject] = field(default_factory=dict)
    uncounted: int = 0
    """Number of further rejects, whose reasons were not read."""

    @property
    def number(self) -> int:
        return self.counts.total() + self.uncounted


@dataclass
class Outcome:
    """All that is known of one file when the import ends."""

    path: Path
    source: Source | None
    problem: str
    has_queued: bool
    """True when this command queued rows of the file."""
    rejects: OpenRejects
    interrupted: bool
    """True when rows of the file are not applied because the command was interrupted."""
    goes_on: bool
    """True when a service goes on with an interrupted file."""


async def open_rejects(stores: Stores, source: Source | None) -> OpenRejects:
    """Return the rejects of a source without a correction; the reasons are left out when a store is away."""
    found = OpenRejects()
    if source is None or not source.rejected_rows:
        return found
    seen = 0
    try:
        async for page in Rejects(stores).pages(source.id):
            seen += len(page)
            for reject in (each.reject for each in page if each.correction is None):
                found.counts[reject.reason] += 1
                found.examples.setdefault(reject.reason, reject)
            if seen >= _EXPLAINED:
                break
    except StoreUnavailableError:
        pass
    found.uncounted = max(0, source.rejected_rows - seen)
    return found


def report(outcomes: Iterable[Outcome]) -> Exit:
    """Print a line for each file on standard output, and on standard error why rows are rejected."""
    found = [_report(outcome) for outcome in outcomes]
    return next((code for code in (Exit.FAILED, Exit.REJECTED) if code in found), Exit.DONE)


def _report(outcome: Outcome) -> Exit:
    source, name = outcome.source, printable(str(outcome.path))
    problem = outcome.problem.removeprefix(f"{outcome.path}: ")
    if source is not None and source.held is not None:
        problem = held_line(source)
    elif outcome.interrupted:
        _say(f"{name}: interrupted{_place(source)}; {_next_step(outcome)}")
    elif source is not None:
        word = "imported" if outcome.has_queued or not source.read.rows else "already imported"
        _say(f"{name}: {word}: {_books(source)}")
    elif not problem:
        problem = "nothing to import: the file holds no rows yet"
    if problem:
        _say(f"{name}: {printable(problem)}")
    if source is not None and outcome.rejects.number:
        _explain(outcome.path, source, outcome.rejects)
    if problem or outcome.interrupted:
        return Exit.FAILED
    return Exit.REJECTED if source is not None and _are_many(outcome.rejects, source) else Exit.DONE


def _books(source: Source) -> str:
    return (
        f"{source.read.rows} rows = {source.applied_rows} applied + {source.rejected_rows} rejected + "
        f"{source.waiting} waiting"
    )


def _place(source: Source | None) -> str:
    """Return the place of an interruption, ` at row 337 of about 5,000`; empty when no row was read."""
    if source is None or not source.read.rows:
        return " before its first row"
    rows, read = source.read.rows, source.read.offset
    if read >= source.size:
        return f" at row {rows:,} of {rows:,}"
    estimate = round(rows * source.size / read)
    rounding = len(str(estimate)) - 2
    return f" at row {rows:,} of about {max(rows, round(estimate, -rounding)):,}"


def _next_step(outcome: Outcome) -> str:
    books = f" ({_books(outcome.source)})" if outcome.source is not None and outcome.source.read.rows else ""
    return f"{'the service goes on with it' if outcome.goes_on else 'import the file again to go on'}{books}"


def _are_many(rejects: OpenRejects, source: Source) -> bool:
    return rejects.number > _MANY * source.read.rows


def _explain(path: Path, source: Source, rejects: OpenRejects) -> None:
    which = "all" if rejects.number >= source.read.rows else f"{rejects.number} of"
    lines = [f"{printable(str(path))}: {which} {source.read.rows} rows are rejected"]
    for reason, number in rejects.counts.most_common(_REASONS):
        example = rejects.examples[reason]
        lines.append(f"  {number} of them: {printable(reason)}, as in line {example.line}: {_shown(example.raw)}")
    others = rejects.number - sum(number for _, number in rejects.counts.most_common(_REASONS))
    lines += [f"  {others} of them: other reasons"] if others else []
    name = shlex.quote(str(path)) if source.path == str(path) and source.path.isprintable() else source.id
    lines.append(f"  to see them all and correct them: daybook rejects export {name} -o rejects.csv")
    for line in lines:
        _say(line, is_error=True)


def _shown(raw: str) -> str:
    """Return a row in quotes: a byte order mark, a tab or a no-break space as its escape, spaces as they are."""
    text = printable(raw[:_EXAMPLE_CHARACTERS])
    return f"'{text}'" if len(raw) <= _EXAMPLE_CHARACTERS else f"'{text}'…"


def _say(line: str, *, is_error: bool = False) -> None:
    Console(highlight=False, soft_wrap=True, markup=False, stderr=is_error).print(line)
