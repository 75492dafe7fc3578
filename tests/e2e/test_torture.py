"""A short campaign: a case of each kind of fault, and what the campaign itself promises."""

from decimal import Decimal
from pathlib import Path

import pytest
from torture.campaign import State, Workplace, jobs_of
from torture.case import Case, Job, Kind, Outcome
from torture.catalogue import KINDS
from torture.report import problems

from support.spawner import Spawner

SEED = 5
FAULTS = {"network": 6, "sigterm": 2}
"""Of the short case; of the other kinds one."""
ELSEWHERE = {"kill", "original", "mongo-away"}
"""In `test_kill.py`, and only in the long campaign: it takes its minute."""


@pytest.fixture(scope="module")
def workplace(spawner: Spawner, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("torture"), SEED, spawner)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name not in ELSEWHERE], ids=lambda kind: kind.name)
def test_a_short_case(kind: Kind, workplace: Workplace) -> None:
    outcome = workplace.run(Job(kind, 0, FAULTS.get(kind.name, 1)))
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.faults > 0
    assert problems([kind], [outcome]) == []
    assert outcome.counts["reads"] > 0


def some_kind(name: str, full: int, per_case: int, *, must_drift: bool = False, cents: str = "0") -> Kind:
    def run(case: Case) -> None:
        case.outcome.faults += case.faults
        case.outcome.count("chosen", case.chance.randrange(10**9))
        case.outcome.drifted(0, Decimal(cents))

    return Kind(name, name, full, per_case, run, must_drift)


def test_a_share_of_each_kind_and_one_fault_at_least() -> None:
    jobs = jobs_of([some_kind("many", 1000, 10), some_kind("few", 5, 1)], 0.033)
    faults = {name: [job.faults for job in jobs if job.kind.name == name] for name in ("many", "few")}
    assert faults == {"many": [10, 10, 10, 3], "few": [1]}
    assert len({job.key for job in jobs}) == len(jobs)


def test_the_same_seed_makes_the_same_choices(spawner: Spawner, tmp_path: Path) -> None:
    job = Job(some_kind("kind", 1, 1), 3, 1)
    chosen = [Workplace(tmp_path, seed, spawner).run(job).counts["chosen"] for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_a_campaign_goes_on_behind_the_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    State(path).add(Outcome("kind", 1, faults=3, cents_drift="0.5"))
    with path.open("a") as file:
        file.write('{"kind": "kind", "num')
    state = State(path)
    state.add(Outcome("kind", 2))
    assert State(path).outcomes == {
        ("kind", 1): Outcome("kind", 1, 3, cents_drift="0.5"),
        ("kind", 2): Outcome("kind", 2),
    }


def test_drift_violations_and_a_control_that_is_right_are_problems() -> None:
    kind, control = some_kind("kind", 1, 1), some_kind("control", 1, 1, must_drift=True)
    right, off = Outcome("kind", 0, 1), Outcome("kind", 1, 1, cents_drift="0.01")
    assert problems([kind], [right]) == []
    assert problems([kind], [right, off]) == ["kind --case 1: drift"]
    assert problems([kind], [Outcome("kind", 2, 1, violations=["a", "b"])]) == ["kind --case 2: a; b"]
    assert problems([control], [Outcome("control", 0, 1, rows_drift=1)]) == []
    assert problems([control], [Outcome("control", 0, 1)]) == ["control does not drift: this campaign proves nothing"]


def test_what_goes_wrong_in_a_case_is_told_and_kept(spawner: Spawner, tmp_path: Path) -> None:
    def run(case: Case) -> None:
        (case.folder / "clue").write_text("here")
        raise OSError("no such thing")

    outcome = Workplace(tmp_path, 1, spawner).run(Job(Kind("kind", "kind", 1, 1, run), 0, 1))
    assert outcome.violations == ["OSError: no such thing"]
    assert (tmp_path / "failed" / "kind-0" / "clue").read_text() == "here"
