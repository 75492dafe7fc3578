"""Settings of all tests, and the servers that tests share."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from support.redis_server import KINDS, Endpoint, RedisServer

settings.register_profile("daybook", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("daybook")

_URL = os.environ.get("DAYBOOK_TEST_REDIS_URL", "")


@pytest.fixture(scope="session", params=[*KINDS, *(["url"] if _URL else [])])
def server_for_all(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    if request.param == "url":
        yield Endpoint.of(_URL)
        return
    with RedisServer(request.param, tmp_path_factory.mktemp("server")) as server:
        yield server.endpoint


@pytest.fixture
async def shared_redis(server_for_all: Endpoint) -> AsyncIterator[Endpoint]:
    """An empty database: on the embedded Valkey, on Redis 7.0, and on `DAYBOOK_TEST_REDIS_URL` if set."""
    connection = server_for_all.connect()
    try:
        await connection.command("FLUSHDB")
        yield server_for_all
        await connection.command("FLUSHDB")
    finally:
        await connection.close()


@pytest.fixture(params=KINDS)
def own_redis(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that the test may kill, wipe and configure; its log is synced every second."""
    with RedisServer(request.param, tmp_path_factory.mktemp("own"), "--appendfsync", "everysec") as server:
        yield server
