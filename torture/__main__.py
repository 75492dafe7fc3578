"""Breaks a running Daybook in every known way and compares all its answers with plain sums of the files.

Ends with 1 when a total, a count, a reject or an answer was wrong. An interrupted campaign goes on where it was when it
is started again with the same seed and number of faults.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from support.spawner import Spawner
from torture import report
from torture.campaign import State, Workplace, jobs_of
from torture.case import Outcome
from torture.catalogue import KINDS

_TERMINATED = 128 + signal.SIGTERM


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    kinds = [kind for kind in KINDS if not options.only or kind.name in options.only]
    full = sum(kind.full for kind in KINDS)
    jobs = jobs_of(kinds, min(1.0, (options.faults or full) / full))
    if options.case is not None:
        jobs = [job for job in jobs if job.number == options.case]
    options.folder.mkdir(parents=True, exist_ok=True)
    state = State(options.state or options.folder / f"state-{options.seed}-{options.faults or 'full'}.jsonl")
    if options.fresh:
        state.forget()
    again = options.case is not None
    outcomes: list[Outcome] = []
    with Spawner() as spawner:
        workplace = Workplace(options.folder, options.seed, spawner)
        for place, job in enumerate(jobs, 1):
            outcome = None if again else state.outcomes.get(job.key)
            if outcome is None:
                outcome = workplace.run(job)
                state.add(outcome)
                _tell(f"{place}/{len(jobs)}", outcome)
            outcomes.append(outcome)
    report.show(kinds, outcomes)
    problems = report.problems(kinds, outcomes)
    for problem in problems:
        print(f"\n{problem}")
    if problems:
        print(
            f"\nto repeat one: python -m torture --seed {options.seed}"
            f"{f' --faults {options.faults}' if options.faults else ''} --only KIND --case NUMBER;"
            f" the files of failed cases are in {options.folder / 'failed'}"
        )
    sys.exit(1 if problems else 0)


def _tell(place: str, outcome: Outcome) -> None:
    words = "skipped" if outcome.skipped else f"{outcome.faults} faults, {outcome.seconds:g} s"
    off = f", DRIFT {outcome.rows_drift} rows {outcome.cents_drift} cents" if outcome.has_drift else ""
    wrong = f", {outcome.violations[0][:200]}" if outcome.violations else ""
    print(f"{place} {outcome.kind}-{outcome.number}: {words}{off}{wrong}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    add = parser.add_argument
    full = sum(kind.full for kind in KINDS)
    add("--faults", type=int, metavar="N", help=f"about N faults in all, in the proportions of a full run ({full:,})")
    add("--seed", type=int, default=1, metavar="S", help="the same seed makes the same choices (%(default)s)")
    add("--only", nargs="+", choices=[kind.name for kind in KINDS], metavar="KIND", help="%(choices)s")
    add("--case", type=int, metavar="NUMBER", help="run only this case of the kinds")
    add("--fresh", action="store_true", help="start from the beginning, even after an interrupted campaign")
    add("--state", type=Path, metavar="FILE", help="file of finished cases (in the folder, by seed and faults)")
    add(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "daybook-torture",
        help="folder for files, data of servers, and files of failed cases (%(default)s)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
