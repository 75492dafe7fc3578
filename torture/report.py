"""The findings of a campaign, by kind of fault."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from torture.case import Kind, Outcome

_COLUMNS = ("fault", "kind", "cases", "faults", "drift, rows", "drift, cents", "longest to ready", "violations")
_WIDE = 160


def show(kinds: Iterable[Kind], outcomes: Sequence[Outcome], console: Console | None = None) -> None:
    console = console or Console()
    if not console.is_terminal:
        console.width = _WIDE
    table = Table(*_COLUMNS)
    for kind in kinds:
        own = [outcome for outcome in outcomes if outcome.kind == kind.name]
        if own:
            table.add_row(*map(Text, _row(kind, own)))
    console.print(table)
    for name, reason in sorted({(outcome.kind, outcome.skipped) for outcome in outcomes if outcome.skipped}):
        console.print(f"skipped in {name}: {reason}", markup=False)
    for kind in kinds:
        counts: dict[str, int] = {}
        for outcome in outcomes:
            if outcome.kind == kind.name:
                for name, number in outcome.counts.items():
                    counts[name] = counts.get(name, 0) + number
        if counts:
            told = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))
            console.print(f"{kind.name}: {told}", markup=False, highlight=False)


def _row(kind: Kind, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    ran = [outcome for outcome in outcomes if not outcome.skipped]
    rows = sum(outcome.rows_drift for outcome in ran)
    cents = sum((Decimal(outcome.cents_drift) for outcome in ran), Decimal(0))
    return (
        kind.what,
        kind.name,
        f"{len(ran)}" + (f" (+{len(outcomes) - len(ran)} skipped)" if len(ran) < len(outcomes) else ""),
        f"{sum(outcome.faults for outcome in ran):,}",
        f"{rows:,}",
        f"{cents.normalize():,f}",
        f"{max((outcome.ready_seconds for outcome in ran), default=0):.1f} s" if not kind.must_drift else "",
        f"{sum(len(outcome.violations) for outcome in ran)}" if not kind.must_drift else "it must drift",
    )


def problems(kinds: Iterable[Kind], outcomes: Sequence[Outcome]) -> list[str]:
    """Return the reasons why the campaign failed; empty when it passed."""
    found = []
    for kind in kinds:
        own = [outcome for outcome in outcomes if outcome.kind == kind.name and not outcome.skipped]
        if kind.must_drift:
            if own and not any(outcome.has_drift for outcome in own):
                found.append(f"{kind.name} does not drift: this campaign proves nothing")
            own = [outcome for outcome in own if outcome.violations]
        found += [
            f"{kind.name} --case {outcome.number}: {'; '.join(outcome.violations) or 'drift'}"
            for outcome in own
            if outcome.violations or (outcome.has_drift and not kind.must_drift)
        ]
    return found
