"""Answers about ten thousand sources, or rejects, leave the event loop free meanwhile. Real server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from daybook.api.app import create_app
from daybook.api.services import Services
from daybook.domain.position import Position
from daybook.domain.reject import RAW_LIMIT, Reject
from daybook.domain.source import Source
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.stores import redis_keys
from daybook.stores.connection import Argument
from daybook.stores.source_fields import fields_of
from support.pipeline import Parts, lane

SOURCES, REJECTS = 10_000, 10_000
COLUMNS = ("timestamp", "type", "payment_method", "amount")
TRIES, MOST_SECONDS = 3, 0.1
"""Longest time of the processor that the event loop may be held at once, in the best of some tries."""


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    async with EmbeddedValkey(tmp_path / "data") as server, lane(server.socket, tmp_path / "archive.sqlite") as opened:
        yield opened


async def longest_hold(work: Awaitable[httpx.Response]) -> tuple[httpx.Response, float]:
    """Return the answer, and the longest time that the loop's thread worked without a turn for others, in seconds."""
    asking, longest = asyncio.ensure_future(work), 0.0
    while not asking.done():
        begun = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - begun)
    return asking.result(), longest


async def ask(parts: Parts, path: str, **parameters: Any) -> tuple[httpx.Response, float]:
    services = Services(parts.stores, lambda: "", dict, dict, dict, _not_reverted)
    app = create_app(services)
    async with app.router.lifespan_context(app) as state:
        transport = httpx.ASGITransport(_with_state(app, state))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            await client.get(path, params={**parameters, "limit": 1})  # what is built once
            tries = [await longest_hold(client.get(path, params=parameters)) for _ in range(TRIES)]
            return tries[0][0], min(held for _, held in tries)


async def _not_reverted(source: str, by: str, why: str) -> Source:
    raise NotImplementedError


def _with_state(app: Any, state: Any) -> Any:
    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return with_state


def source(number: int) -> Source:
    place = Position(offset=100 * number, rows=2 * number + 1, line=2 * number + 2, rejected=1)
    return Source(
        f"source {number}",
        f"/files/{number}.csv",
        b"x" * 4096,
        place,
        place,
        100 * number,
        columns=COLUMNS,
        order=number,
    )


def commands_of(sources: Iterable[Source]) -> Iterable[tuple[Argument, ...]]:
    for each in sources:
        pairs = [part for pair in fields_of(each).items() for part in pair]
        yield ("HSET", redis_keys.source(each.id), *pairs, "order", each.order)
        yield ("SADD", redis_keys.SOURCES, each.id)


async def test_all_sources(parts: Parts) -> None:
    await parts.redis.pipeline(list(commands_of(map(source, range(SOURCES)))))
    answer, held = await ask(parts, "/v1/imports")
    found = answer.json()["imports"]
    assert [each["source"] for each in found] == [f"source {number}" for number in range(SOURCES)]
    assert found[7]["rows"] == 15
    assert held < MOST_SECONDS


async def test_a_full_page_of_the_longest_rejects(parts: Parts) -> None:
    await parts.redis.pipeline(list(commands_of([source(1)])))
    rejects = [
        Reject("source 1", line, "\u00e9" * RAW_LIMIT, "amount is not above 0") for line in range(1, REJECTS + 2)
    ]
    await parts.redis.pipeline([("RPUSH", redis_keys.REJECTS, msgspec.json.encode(each)) for each in rejects])
    answer, held = await ask(parts, "/v1/imports/source 1/rejects", limit=REJECTS)
    found = json.loads(answer.content)
    assert [each["line"] for each in found["rejects"]] == list(range(1, REJECTS + 1))
    assert found["next"] == REJECTS
    assert held < MOST_SECONDS
