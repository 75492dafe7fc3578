"""Bytewax: reads lines in batches and reduces Decimals by key in one worker, without a recovery store."""

from collections.abc import Iterable
from decimal import Decimal
from importlib.metadata import version
from operator import add
from pathlib import Path

from benchmarks.peers.program import Row, package, run

operators = package("bytewax.operators")
dataflow = package("bytewax.dataflow")
files = package("bytewax.connectors.files")
testing = package("bytewax.testing")

_LINES_PER_BATCH = 10_000


def sums(file: Path, _: Path) -> Iterable[Row]:
    found: list[tuple[str, Decimal]] = []
    flow = dataflow.Dataflow("totals")
    lines = operators.input("lines", flow, files.FileSource(file, batch_size=_LINES_PER_BATCH))
    keyed = operators.flat_map_batch("rows", lines, _keyed)
    operators.output("totals", operators.reduce_final("sum", keyed, add), testing.TestingSink(found))
    testing.run_main(flow)
    for key, amount in found:
        day, kind, method = key.split("|")
        yield day, kind, method, str(amount)


def _keyed(lines: list[str]) -> list[tuple[str, Decimal]]:
    found = []
    for line in lines:
        timestamp, kind, method, amount, _ = line.split(",")
        if timestamp != "timestamp":
            found.append((f"{timestamp[:10]}|{kind}|{method}", Decimal(amount)))
    return found


if __name__ == "__main__":
    run(sums, f"bytewax {version('bytewax')}")
