"""`kill -9` at random instants: Daybook's totals stay exact; the original's way loses rows."""

from pathlib import Path

import pytest
from torture.campaign import Workplace
from torture.case import Job
from torture.kinds.kills import KILL
from torture.kinds.original import ORIGINAL
from torture.report import problems

from support.spawner import Spawner

SEED = 20260115
KILLS, KILLS_PER_CASE = 50, 10
CONTROL_KILLS = 12


@pytest.fixture
def workplace(spawner: Spawner, tmp_path: Path) -> Workplace:
    return Workplace(tmp_path, SEED, spawner)


@pytest.mark.timeout(240)
def test_fifty_kills_change_no_total(workplace: Workplace) -> None:
    outcomes = [workplace.run(Job(KILL, number, KILLS_PER_CASE)) for number in range(KILLS // KILLS_PER_CASE)]
    assert problems([KILL], outcomes) == []
    assert sum(outcome.faults for outcome in outcomes) == KILLS
    for outcome in outcomes:
        assert outcome.counts["in the middle"], "the kills must fall into the import"
        assert outcome.counts["reads"] > 0


def test_the_original_way_loses_rows(workplace: Workplace) -> None:
    """The control: were nothing lost here, the test above would prove nothing."""
    outcome = workplace.run(Job(ORIGINAL, 0, CONTROL_KILLS))
    assert problems([ORIGINAL], [outcome]) == []
    assert outcome.rows_drift > 0
