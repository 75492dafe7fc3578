"""`python -m benchmarks [--rows N] [--rounds N]`: everything in one run, ratios within it, into docs/benchmarks.md."""

import argparse
import csv
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import polars as pl

from benchmarks.processes import DAYBOOK, Run, run
from benchmarks.stats_requests import measure_stats
from daybook.sample import SampleSpec, write_sample

HERE = Path(__file__).parent
REPORT = HERE.parent / "docs" / "benchmarks.md"
PROFILE_MARK = "## Where the time goes"
Totals = dict[tuple[str, str, str], Decimal]


class Measured(NamedTuple):
    name: str
    seconds: list[float]
    peak_mb: float
    server_mb: float
    exact: bool

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests-seconds", type=float, default=4.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="daybook-bench-") as name:
        folder = Path(name)
        file = folder / "rows.csv"
        print(f"writing {options.rows:,} rows", flush=True)
        write_sample(SampleSpec(rows=options.rows), file)
        imports = measure_imports(file, folder, options.rounds)
        requests = measure_stats(folder, options.requests_seconds)
    text = "\n".join([*header(options.rows, options.rounds), *import_table(imports, options.rows), *requests, ""])
    print(text)
    kept = REPORT.read_text().partition(PROFILE_MARK) if REPORT.exists() else ("", "", "")
    REPORT.write_text(f"{text}\n{kept[1]}{kept[2]}")


def measure_imports(file: Path, folder: Path, rounds: int) -> list[Measured]:
    truth = exact_totals(file)
    peers = {"polars, one shot": "polars_once"}
    if importlib.util.find_spec("chdb"):
        peers["ClickHouse (chdb), Null table + SummingMergeTree view"] = "clickhouse_view"
    runs: dict[str, list[Run]] = defaultdict(list)
    exact: dict[str, bool] = {}
    for number in range(rounds):
        for name, module in peers.items():
            runs[name].append(run((sys.executable, "-m", f"benchmarks.peers.{module}", str(file))))
            exact[name] = parsed(runs[name][-1].output) == truth
        data_dir = folder / f"data-{number}"
        environment = {"DataDir": str(data_dir)}
        runs["Daybook"].append(run((*DAYBOOK, "import", str(file)), data_dir, **environment))
        exact["Daybook"] = daybook_totals(environment) == truth
        print(f"round {number + 1}: " + ", ".join(f"{name} {each[-1].seconds:.2f} s" for name, each in runs.items()))
    return [
        Measured(
            name,
            [each.seconds for each in found],
            max(each.peak_mb for each in found),
            max(each.server_peak_mb for each in found),
            exact[name],
        )
        for name, found in runs.items()
    ]


def exact_totals(file: Path) -> Totals:
    """Sums in whole hundredths: the sample has at most two decimals."""
    parts = pl.col("amount").str.split_exact(".", 1)
    fraction = parts.struct.field("field_1").fill_null("0").str.pad_end(2, "0").cast(pl.Int64)
    hundredths = parts.struct.field("field_0").cast(pl.Int64) * 100 + fraction
    groups = (
        pl.scan_csv(file, schema_overrides={"amount": pl.String})
        .group_by(pl.col("timestamp").str.slice(0, 10).alias("day"), "type", "payment_method")
        .agg(hundredths.sum().alias("sum"))
        .collect()
    )
    return {(day, kind, method): Decimal(total) / 100 for day, kind, method, total in groups.iter_rows()}


def parsed(output: str) -> Totals:
    return {(day, kind, method): Decimal(amount) for day, kind, method, amount in csv.reader(output.splitlines())}


def daybook_totals(environment: dict[str, str]) -> Totals:
    days = ("--from", "0001-01-01", "--to", "9999-12-31")
    answer = run((*DAYBOOK, "stats", *days, "--format", "json"), None, **environment).output
    found = json.loads(answer, parse_float=Decimal)["data"]
    return {
        (day, kind.removesuffix("s"), method): amount
        for day, types in found.items()
        for kind, methods in types.items()
        for method, amount in methods.items()
    }


def header(rows: int, rounds: int) -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {memory:.0f} GiB,"
        f" {platform.system()} {platform.machine()}, Python {platform.python_version()}, polars {pl.__version__}."
        f" The machine is shared and noisy: read the ratios. {rounds} rounds in turn, medians (lowest to highest).",
        "",
        f"## Import of {rows:,} rows of one month",
        "",
        "Whole processes, start-up included. Daybook: embedded Valkey with its append-only file, SQLite archive, up",
        "to the last dump. All got the same file; all answers are compared with sums of whole hundredths.",
        "",
    ]


def import_table(measured: list[Measured], rows: int) -> list[str]:
    ours = next(each for each in measured if each.name == "Daybook")
    lines = [
        "| | seconds | rows/s | Daybook's speed over it | exact | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for each in measured:
        memory = f"{each.peak_mb:.0f} MB"
        if each.server_mb:
            memory += f", Valkey {each.server_mb:.0f} MB"
        lines.append(
            f"| {each.name} | {each.median:.2f} ({min(each.seconds):.2f} to {max(each.seconds):.2f})"
            f" | {rows / each.median:,.0f} | {each.median / ours.median:.2f} | {'yes' if each.exact else 'no'}"
            f" | {memory} |"
        )
    return [*lines, ""]


if __name__ == "__main__":
    main()
