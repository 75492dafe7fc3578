"""Reversals as changes of buckets."""

from collections.abc import Mapping

from daybook.domain.bucket import Bucket, BucketState, Cell, Sums
from daybook.domain.position import Refused
from daybook.domain.reversal import Reverses
from daybook.sources.batch_codec import Batch
from daybook.sources.columns.cells import CellColumns, from_sums

_NOTHING = Cell(0, 0)


def net(batch: Batch) -> CellColumns:
    """Return what a batch that reverses a source changes: the cells that it adds, less those that it takes back.

    Sums may be negative. Cells that stay as they are, are left out.
    """
    sums: Sums = {bucket: dict(cells) for bucket, cells in batch.added.sums().items()}
    for bucket, cells in batch.subtracted.sums().items():
        own = sums.setdefault(bucket, {})
        for method, taken in cells.items():
            added = own.get(method, _NOTHING)
            own[method] = Cell(added.units - taken.units, added.transactions - taken.transactions)
    changed = {
        bucket: {method: cell for method, cell in sums[bucket].items() if cell != _NOTHING} for bucket in sorted(sums)
    }
    return from_sums(changed)


def misfit(changes: Mapping[Bucket, BucketState], limit: int) -> str:
    """Return the reason, for people, why buckets cannot be as a reversal makes them; empty when they can.

    `changes` holds the changed buckets, in full.
    """
    for bucket, state in changes.items():
        where = f"{bucket.day} {bucket.type}"
        if len(state.cells) > limit:
            return f"{where} would have {len(state.cells)} payment methods, of {limit} allowed (MaxMethodsPerBucket)"
        for method, cell in state.cells.items():
            if cell.units < 0 or cell.transactions < 0 or (cell.units == 0) != (cell.transactions == 0):
                return f"{where} {method} would be {cell.transactions} transactions: it does not hold the source's rows"
    return ""


def refused_after(reverses: Reverses, refused: Mapping[str, Refused]) -> dict[str, Refused]:
    """Return the refused rows of each source whose number a reversal changes; `refused` holds those before it."""
    found = {reverses.source: Refused()}
    for each in reverses.corrections:
        before = refused.get(each.source, Refused())
        found[each.source] = before.more(len(each.rejects), each.deposits, each.withdrawals)
    return found
