"""The method of the system that Daybook replaces, as a control: it must lose rows where Daybook must not.

`python original_way.py fill HOST PORT FILE` pushes each row of a file as JSON.
`python original_way.py work HOST PORT` pops rows and adds their amounts, one after the other, without end.
"""

import csv
import json
import sys
from pathlib import Path

import redis

QUEUE = "TransactionQueue"


def fill(client: "redis.Redis", path: Path) -> None:
    with path.open(newline="") as file, client.pipeline(transaction=False) as pipe:
        for row in csv.DictReader(file):
            transaction = {
                "Timestamp": row["timestamp"],
                "Type": row["type"],
                "PaymentMethod": row["payment_method"],
                "Amount": float(row["amount"]),
            }
            pipe.lpush(QUEUE, json.dumps(transaction))
        pipe.execute()


def work(client: "redis.Redis") -> None:
    while popped := client.brpop([QUEUE]):
        transaction = json.loads(popped[1])
        day, kind = transaction["Timestamp"][:10], transaction["Type"]
        client.hincrbyfloat(f"agg:{day}:{kind}s", transaction["PaymentMethod"], transaction["Amount"])


if __name__ == "__main__":
    command, host, port, *files = sys.argv[1:]
    with redis.Redis(host=host, port=int(port), decode_responses=True) as connection:
        if command == "fill":
            fill(connection, Path(files[0]))
        else:
            work(connection)
