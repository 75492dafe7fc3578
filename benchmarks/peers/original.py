"""The method of the system that Daybook replaces: one row at a time through a Redis list into Redis hashes.

An importer pushes each row as JSON. An aggregator pops a row (`BRPOP`) and adds it (`HINCRBYFLOAT`). Both run on one
event loop, with the embedded server of Daybook, whose append-only file is synced every second.
"""

import asyncio
import csv
import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from benchmarks.peers.program import Row, run
from daybook.embedded.valkey_server import EmbeddedValkey

_QUEUE = "TransactionQueue"
_END = b"end"


def sums(file: Path, folder: Path) -> Iterable[Row]:
    return asyncio.run(_sums(file, folder))


async def _sums(file: Path, folder: Path) -> list[Row]:
    async with EmbeddedValkey(folder) as server:
        client: Any = Redis(unix_socket_path=str(server.socket), protocol=2)
        try:
            await client.config_set("appendfsync", "everysec")
            await asyncio.gather(_import(client, file), _aggregate(client))
            return await _totals(client)
        finally:
            await client.aclose()


async def _import(client: Any, file: Path) -> None:
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            transaction = {
                "Timestamp": row["timestamp"],
                "Type": row["type"],
                "PaymentMethod": row["payment_method"],
                "Amount": float(row["amount"]),
            }
            await client.lpush(_QUEUE, json.dumps(transaction))
    await client.lpush(_QUEUE, _END)


async def _aggregate(client: Any) -> None:
    while True:
        _, element = await client.brpop([_QUEUE])
        if element == _END:
            return
        transaction = json.loads(element)
        key = f"agg:{transaction['Timestamp'][:10]}:{transaction['Type']}s"
        await client.hincrbyfloat(key, transaction["PaymentMethod"], transaction["Amount"])


async def _totals(client: Any) -> list[Row]:
    found: list[Row] = []
    async for key in client.scan_iter("agg:*"):
        _, day, kind = key.decode().split(":")
        for method, amount in (await client.hgetall(key)).items():
            found.append((day, kind.removesuffix("s"), method.decode(), amount.decode()))
    return found


if __name__ == "__main__":
    run(sums, f"redis-py {version('redis')}")
