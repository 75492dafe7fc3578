"""A connection that breaks between its making and the first word on it, on the event loop that the service runs on."""

import asyncio

import pytest
import uvloop

from daybook.errors import RedisUnavailableError
from daybook.stores.connection import translated


def test_writing_to_a_connection_that_is_gone_means_that_redis_is_away() -> None:
    async def write() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.transport.abort()
            await asyncio.sleep(0.01)
            with translated():
                writer.writelines([b"PING"])

    with pytest.raises(RedisUnavailableError, match="broke while it was being made"):
        uvloop.run(write())


def test_any_other_runtime_error_is_not_taken_for_redis_being_away() -> None:
    with pytest.raises(RuntimeError, match="a defect of ours"), translated():
        raise RuntimeError("a defect of ours")
