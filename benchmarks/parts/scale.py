"""Measures import speed with more buckets and payment methods, and with more rows."""

from benchmarks.files import DataFile
from benchmarks.measure import Spread, ratios
from benchmarks.parts.import_speed import Outcome, import_once, in_turn
from benchmarks.plan import Plan
from benchmarks.results import Results

HUGE_ROWS = 100_000_000
_MB = 1_000_000
_MOST_WIDE_ROWS = 5_000_000
_IN_ORDER, _SHUFFLED = "10 years of 50 methods, a tenth late", "10 years of 50 methods, shuffled"


def run_wide(plan: Plan, results: Results) -> None:
    """Import ten years of 50 payment methods: at most 365,300 totals instead of 310."""
    rows = min(plan.rows, _MOST_WIDE_ROWS)
    month = plan.files.head(plan.files.month(plan.rows), rows)
    in_order, shuffled = (plan.files.ten_years(rows, late) for late in (0.1, 1.0))

    def once(file: DataFile) -> Outcome:
        return import_once(plan, [file.path], file)

    contestants = {
        "one month": lambda: once(month),
        _IN_ORDER: lambda: once(in_order),
        _SHUFFLED: lambda: once(shuffled),
    }
    outcomes = in_turn(plan, contestants, results)
    base = [outcome.rate for outcome in outcomes["one month"]]
    for name, least in ((_IN_ORDER, 0.5), (_SHUFFLED, 0.1)):
        rates = [outcome.rate for outcome in outcomes[name]]
        share = ratios(rates, base)
        measured = f"{share.text('.2f')}; {_rate(rates)}; {_memory(outcomes[name])}"
        results.add(f"{name}, by one month's rate", measured, f"≥ {least}", met=share.median >= least)


def run_huge(plan: Plan, results: Results) -> None:
    """Import a hundred million rows once, and compare with ten million."""
    ten, huge = plan.files.month(HUGE_ROWS // 10), plan.files.month(HUGE_ROWS)
    small = [import_once(plan, [ten.path], ten) for _ in range(plan.rounds)]
    large = import_once(plan, [huge.path], huge)
    base = Spread.of([outcome.rate for outcome in small]).median
    share = large.rate / base
    measured = f"{share:.2f}; {_rate([large.rate])}"
    results.add("100 M rows by the rate at 10 M", measured, "≥ 0.9", met=share >= 0.9)
    before = max(outcome.peak_bytes for outcome in small)
    met = large.peak_bytes <= before * 1.1 and large.peak_bytes < 400 * _MB
    measured = f"{large.peak_bytes / _MB:.0f} MB ({before / _MB:.0f} MB at 10 M)"
    results.add("100 M rows, peak memory of the service", measured, "+ 10 % at most, < 400 MB", met=met)
    server = large.server_bytes / _MB
    results.add("100 M rows, peak memory of Valkey", f"{server:.0f} MB", "< 256 MB", met=server < 256)


def _rate(rates: list[float]) -> str:
    return f"{Spread.of(rates).median:,.0f} rows/s"


def _memory(outcomes: list[Outcome]) -> str:
    service = max(outcome.peak_bytes for outcome in outcomes) / _MB
    server = max(outcome.server_bytes for outcome in outcomes) / _MB
    return f"{service:.0f} MB, Valkey {server:.0f} MB"
