"""Imports the same file with Daybook and with other systems, in turn, round after round."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks import daybook_process as daybook
from benchmarks import oracle
from benchmarks.files import DataFile
from benchmarks.measure import BenchmarkError, Spread, ratios, run_program
from benchmarks.oracle import Verdict
from benchmarks.peers.program import NOT_INSTALLED
from benchmarks.plan import Plan
from benchmarks.results import Results, Speed

ONE_SHOT, CLICKHOUSE, ORIGINAL, OURS = "polars, one shot", "ClickHouse", "original design", "Daybook"
_QUICK_SHARE = 8
"""A quick run gives the slow systems this many times fewer rows."""
_MB = 1_000_000


class Peer(NamedTuple):
    name: str
    keeps: str
    program: str
    word: str = ""
    most_rows: int | None = None
    """Largest number of rows, for a slow system; None for all."""
    own_packages: bool = False
    """True when the system needs packages that Daybook does not, and so another interpreter."""


PEERS = (
    Peer(ONE_SHOT, "nothing", "polars_sums", own_packages=True),
    Peer("polars, decimals", "nothing", "polars_sums", "decimal", own_packages=True),
    Peer(CLICKHOUSE, "totals, not synced", "clickhouse_view", own_packages=True),
    Peer("ClickHouse, raw rows kept", "rows and totals, not synced", "clickhouse_view", "raw", own_packages=True),
    Peer("DuckDB", "totals", "duckdb_sums", own_packages=True),
    Peer("Bytewax", "nothing", "bytewax_flow", most_rows=1_000_000, own_packages=True),
    Peer(ORIGINAL, "totals, rows may be lost or repeated", "original", most_rows=5_000),
)


class Outcome(NamedTuple):
    seconds: float
    whole_seconds: float
    """Time with the start of interpreter and packages."""
    rows: int
    peak_bytes: int
    server_bytes: int
    verdict: Verdict
    version: str = ""

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


Contestant = Callable[[], Outcome | None]
"""Runs a system once; returns None when it is not installed."""


def run(plan: Plan, results: Results) -> None:
    """Measure import speed: the comparison, its targets, and four files at once compared with one."""
    whole = plan.files.month(plan.rows)
    quarter = plan.rows // 4
    pieces = plan.files.pieces(whole, (quarter, quarter, quarter, plan.rows - 3 * quarter))
    at_once = "Daybook, 4 files at once"
    contestants: dict[str, Contestant] = {peer.name: _peer(plan, peer, whole) for peer in PEERS}
    contestants[OURS] = lambda: import_once(plan, [whole.path], whole)
    contestants[at_once] = lambda: import_once(plan, pieces, whole)
    outcomes = in_turn(plan, contestants, results)
    keeps = {peer.name: peer.keeps for peer in PEERS}
    ours = [outcome.rate for outcome in outcomes[OURS]]
    for name, each in outcomes.items():
        kept = keeps.get(name, "totals, exactly once, synced")
        results.speeds.append(_speed(name, kept, each, ours))
        results.versions[name] = each[0].version
    _tell_targets(results, outcomes)
    faster = ratios([outcome.rate for outcome in outcomes[at_once]], ours)
    results.add("4 files at once by 1 file", faster.text(".2f"), "≥ 1 (5 % less is noise)", met=faster.median >= 0.95)


def _tell_targets(results: Results, outcomes: dict[str, list[Outcome]]) -> None:
    ours = [outcome.rate for outcome in outcomes[OURS]]
    for name, least in ((CLICKHOUSE, 1.2), (ONE_SHOT, 0.5), (ORIGINAL, 1000)):
        target = f"≥ {least:,}"
        if name in outcomes:
            share = ratios(ours, [outcome.rate for outcome in outcomes[name]])
            results.add(f"import by {name}", share.text(",.2f"), target, met=share.median >= least)
        else:
            results.add(f"import by {name}", "not installed", target)
    whole = Spread.of([outcome.whole_seconds for outcome in outcomes[OURS]])
    results.add("`daybook import`, the whole command", f"{whole.text('.2f')} s")
    service = max(outcome.peak_bytes for outcome in outcomes[OURS]) / _MB
    server = max(outcome.server_bytes for outcome in outcomes[OURS]) / _MB
    results.add("import, peak memory of the service", f"{service:.0f} MB", "< 400 MB", met=service < 400)
    results.add("import, peak memory of Valkey", f"{server:.0f} MB", "< 256 MB", met=server < 256)


def in_turn(plan: Plan, contestants: Mapping[str, Contestant], results: Results) -> dict[str, list[Outcome]]:
    """Run all systems one after the other, in each planned round."""
    outcomes: dict[str, list[Outcome]] = {}
    for number in range(plan.rounds):
        for name, contestant in contestants.items():
            if name in results.absent:
                continue
            outcome = contestant()
            if outcome is None:
                results.absent[name] = "not installed"
                plan.say(f"  {name}: not installed")
                continue
            outcomes.setdefault(name, []).append(outcome)
            plan.say(
                f"  round {number + 1}/{plan.rounds}  {name:<28} {outcome.seconds:7.2f} s"
                f"  {outcome.rate:>12,.0f} rows/s  exact: {outcome.verdict.text}"
            )
    return outcomes


def import_once(plan: Plan, files: list[Path], whole: DataFile, **settings: daybook.Setting) -> Outcome:
    """Import files into a fresh data directory. Raises BenchmarkError when the totals are not those of `whole`."""
    with daybook.data_directory(plan.folder) as data_dir:
        ran = daybook.import_files(files, data_dir, **settings)
        verdict = daybook.check(data_dir, whole)
    if not verdict.exact:
        raise BenchmarkError(f"Daybook's totals of {whole.path.name} are not exact: {verdict.text}")
    return Outcome(ran.seconds, ran.whole_seconds, whole.rows, ran.service.peak_bytes, ran.valkey.peak_bytes, verdict)


def _peer(plan: Plan, peer: Peer, whole: DataFile) -> Contestant:
    file = whole
    if peer.most_rows is not None:
        file = plan.files.head(whole, peer.most_rows // _QUICK_SHARE if plan.quick else peer.most_rows)
    python = plan.peers_python if peer.own_packages else sys.executable
    command = [python, "-m", f"benchmarks.peers.{peer.program}", str(file.path)]

    def once() -> Outcome | None:
        with tempfile.TemporaryDirectory(prefix="peer-", dir=plan.folder) as name:
            folder = Path(name)
            (folder / "own").mkdir()
            words = [*command, str(folder / "own"), *([peer.word] if peer.word else [])]
            try:
                ran = run_program(words, folder=folder, environment=dict(os.environ))
            finally:
                daybook.end_server(folder / "own")
        if ran.code == NOT_INSTALLED:
            return None
        if ran.code:
            raise BenchmarkError(f"{peer.name} ended with {ran.code}: {ran.errors[-2000:]}")
        answer = json.loads(ran.output)
        verdict = oracle.judge((((day, kind, way), text) for day, kind, way, text in answer["totals"]), file.totals)
        return Outcome(answer["seconds"], ran.seconds, file.rows, ran.usage.peak_bytes, 0, verdict, answer["version"])

    return once


def _speed(name: str, keeps: str, outcomes: list[Outcome], ours: list[float]) -> Speed:
    last = outcomes[-1]
    memory = f"{max(outcome.peak_bytes for outcome in outcomes) / _MB:,.0f} MB"
    if server := max(outcome.server_bytes for outcome in outcomes):
        memory += f", Valkey {server / _MB:,.0f} MB"
    wrong = next((outcome.verdict for outcome in outcomes if not outcome.verdict.exact), last.verdict)
    rates = [outcome.rate for outcome in outcomes]
    return Speed(
        name=name,
        keeps=keeps,
        rate=Spread.of(rates),
        seconds=Spread.of([outcome.seconds for outcome in outcomes]),
        memory=memory,
        exact=wrong.text,
        rows=last.rows,
        ours=name.startswith(OURS),
        share=ratios(ours, rates),
    )
