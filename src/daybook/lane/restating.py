"""Records the changes that a commit makes to closed buckets."""

from collections.abc import Mapping

from daybook.domain.bucket import Bucket, HeldBucket
from daybook.domain.money import format_units
from daybook.domain.position import Position
from daybook.domain.restatement import Change, Restatement
from daybook.lane.element_reader import Applied
from daybook.lane.method_limit import RefusedMethods


def restatements(
    applied: Applied,
    refused: RefusedMethods,
    closed: Mapping[Bucket, HeldBucket],
    ledgers: Mapping[str, Position],
    at: str,
) -> list[Restatement]:
    """Return one restatement for each closed bucket and source that changes it.

    `closed` holds the buckets, and `ledgers` the ledgers by source, as they are before the commit; `at` is its time.
    """
    totals = {
        bucket: {method: cell.units for method, cell in held.state.cells.items()} for bucket, held in closed.items()
    }
    found: list[Restatement] = []
    for step, (source, cells) in enumerate(applied.by_source.items()):
        for bucket, added in cells.by_bucket():
            if bucket not in closed:
                continue
            changes: dict[str, Change] = {}
            for method, units, transactions in added:
                if method not in refused.get(bucket, ()):
                    old = totals[bucket].get(method, 0)
                    totals[bucket][method] = old + units
                    changes[method] = Change(format_units(old), format_units(old + units), transactions)
            if changes:
                held = closed[bucket]
                found.append(
                    Restatement(
                        day=bucket.day,
                        type=bucket.type,
                        version=held.state.version + 1,
                        step=step,
                        source=source,
                        offset=ledgers[source].offset,
                        end=applied.ledgers[source].offset,
                        at=max(at, held.since),
                        since=held.since,
                        changes=changes,
                    )
                )
    return found
