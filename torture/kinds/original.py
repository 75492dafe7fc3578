"""The control: the method of the system that Daybook replaces, killed as Daybook is. It must drift."""

import json
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

from redis import Redis

import support.original_way
from support.oracle import Truth
from support.redis_server import KINDS
from support.service import until, wait_for_end
from torture.case import LONG, Case, Kind
from torture.stores import own_redis

LONGEST_LIFE_SECONDS = 0.4
_CENT = Decimal("0.01")


def popped_and_added(case: Case) -> None:
    """Kill the worker that pops a row and adds its amount. A kill in between loses the row."""
    server = own_redis(case, case.chance.choice(KINDS))
    file = case.file(LONG._replace(bad_rows=0))
    program = Path(support.original_way.__file__)
    place = ["127.0.0.1", str(server.port)]
    subprocess.run([sys.executable, program, "fill", *place, file.path], check=True)
    lost, rows = Decimal(0), 0
    with server.client() as client:
        for _ in range(case.faults):
            waiting = client.llen("TransactionQueue")
            process = subprocess.Popen([sys.executable, program, "work", *place])
            until(lambda waiting=waiting: client.llen("TransactionQueue") < waiting, "it does some work")  # type: ignore[misc]
            time.sleep(case.chance.uniform(0, LONGEST_LIFE_SECONDS))
            process.send_signal(signal.SIGKILL)
            wait_for_end(process)
            case.outcome.faults += 1
            before, lost = lost, _lost(client, file.truth)
            rows += lost != before  # it holds one row at a time
        case.outcome.drifted(rows, lost / _CENT)
        case.outcome.count("totals that are no whole cents", sum(text != round(text, 2) for text in _totals(client)))


def _lost(client: "Redis", truth: Truth) -> Decimal:
    """Return the amount that is neither counted nor queued, without the drift of binary fractions."""
    queued: list[dict[str, Decimal]] = [
        json.loads(row, parse_float=Decimal) for row in client.lrange("TransactionQueue", 0, -1)
    ]
    expected = truth.total("deposits") + truth.total("withdrawals") - sum((row["Amount"] for row in queued), Decimal(0))
    return expected - sum((round(total, 2) for total in _totals(client)), Decimal(0))


def _totals(client: "Redis") -> list[Decimal]:
    return [Decimal(str(text)) for key in client.scan_iter("agg:*") for text in client.hvals(key)]


ORIGINAL = Kind("original", "the original's way, killed", 100, 20, popped_and_added, must_drift=True)
